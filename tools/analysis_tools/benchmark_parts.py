"""What ``benchmark.py`` measures: encoders and whole models, side by side.

A case is a job that several contenders do on the same input, in one run. Every
contender is a function without arguments that returns its output.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from benchmark_plain import PlainEncoder
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmdit.checkpoints.hf_sam import TO_HF_SAM_PREFIXES
from mmdit.checkpoints.rename import rename
from mmdit.models.backbones import SAMViT
from mmdit.models.backbones.sam_vit import ARCHS
from mmdit.models.complexity import SPECIAL_TOKENS, count_config
from mmdit.registry import MODELS

ROOT = Path(__file__).parents[2]
TEXT_TOKENS = 20
Job = Callable[[], Tensor]


@dataclass
class Contender:
    """Someone who does a job.

    Attributes:
        name: What the tables call it.
        dtype: What it computes in.
        make: Builds its model and returns the job.
    """

    name: str
    dtype: torch.dtype
    make: Callable[[], Job]


@dataclass
class Case:
    """One job, and who does it; the first is what the others are held to.

    Attributes:
        title: What is measured.
        contenders: Who does it.
        flops: FLOPs of the job by formula; None where they were not counted.
        equal: Whether all outputs must be the same within rounding.
        facts: What else identifies the case: arch, batch, size, direction.
    """

    title: str
    contenders: list[Contender]
    flops: float | None = None
    equal: bool = True
    facts: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """Of what size, on what, and in which direction a case runs."""

    arch: str
    batch: int
    size: int
    dtypes: tuple[torch.dtype, ...]
    backward: bool
    device: torch.device

    @property
    def facts(self) -> dict:
        """Name the setting for tables and files."""
        return dict(
            arch=self.arch,
            batch=self.batch,
            size=self.size,
            measured='forward + backward' if self.backward else 'forward',
        )

    def images(self) -> Tensor:
        """Return the same random images each time."""
        generator = torch.Generator().manual_seed(0)
        shape = self.batch, 3, self.size, self.size
        return torch.randn(shape, generator=generator).to(self.device)

    def text(self) -> Tensor:
        """Return the same random text each time."""
        generator = torch.Generator().manual_seed(1)
        shape = self.batch, TEXT_TOKENS, ARCHS[self.arch]['embed_dims']
        return torch.randn(shape, generator=generator).to(self.device)


def text_case(setting: Setting) -> Case:
    """L-DIT's encoder over all tokens: ours against the plain one."""

    def plain() -> Job:
        return text_job(setting, build_plain_ldit(setting), torch.float32)

    def ours(backend: str, dtype: torch.dtype) -> Job:
        return text_job(setting, build_ldit(setting, backend), dtype)

    reference = partial(ours, 'reference', torch.float32)
    return Case(
        'text in every block, all tokens',
        [
            Contender('plain', torch.float32, plain),
            Contender('mmdit, reference', torch.float32, reference),
            *(
                Contender('mmdit', dtype, partial(ours, 'auto', dtype))
                for dtype in setting.dtypes
            ),
        ],
        encoder_flops(setting, dict(type='LayerwiseProjection')),
        facts=setting.facts,
    )


def text_job(setting: Setting, model: nn.Module, dtype: torch.dtype) -> Job:
    """Return a pass of an encoder that takes text."""
    return make_job(
        setting,
        model,
        dtype,
        lambda m, *inputs: last(m(*inputs)),
        setting.text(),
    )


def last(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return the last map of an encoder."""
    return outputs if isinstance(outputs, Tensor) else outputs[-1]


def build_ldit(setting: Setting, backend: str) -> nn.Module:
    """Build L-DIT's encoder with random weights, the same each time."""
    return build_sam_vit(
        setting,
        window_size=0,
        text_injector=dict(type='LayerwiseProjection', dropout=0.0),
        text_dims=ARCHS[setting.arch]['embed_dims'],
        attention_backend=backend,
    )


def build_plain_ldit(setting: Setting) -> nn.Module:
    """Build the plain encoder with the same weights."""
    model = build_ldit(setting, 'reference')
    encoder = build_segment_anything(setting, windowed=False)
    return PlainEncoder(
        load_resized(encoder, sam_weights(model), setting),
        model.text_injector.projections,
    )


def sam_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of an encoder without its injector."""
    return {
        key: value
        for key, value in model.state_dict().items()
        if not key.startswith('text_injector.')
    }


def step_case(setting: Setting) -> Case:
    """A training step of the whole model: BERT-base, L-DIT, head, Adam."""
    float32 = torch.float32
    reference = partial(training_step, setting, 'reference', float32)
    return Case(
        'training step of L-DIT with BERT-base',
        [
            Contender('mmdit, reference', float32, reference),
            *(
                Contender(
                    'mmdit',
                    dtype,
                    partial(training_step, setting, 'auto', dtype),
                )
                for dtype in setting.dtypes
            ),
        ],
        # The loss is no output to compare: dropout draws anew each time.
        equal=False,
        facts=dict(setting.facts, measured='training step'),
    )


def sam_case(setting: Setting, windowed: bool) -> Case:
    """SAM's own encoder without text, of three packages."""

    def ours(dtype: torch.dtype) -> Job:
        model = build_plain_sam(setting, windowed)
        return make_job(setting, model, dtype, lambda m, x: m(x)[0])

    def metas() -> Job:
        model = build_segment_anything(setting, windowed)
        return make_job(setting, model, torch.float32, lambda m, x: m(x))

    def hugging_faces() -> Job:
        model = build_transformers(setting, windowed)
        return make_job(
            setting, model, torch.float32, lambda m, x: m(x).last_hidden_state
        )

    return Case(
        "SAM without text, SAM's windows"
        if windowed
        else 'SAM without text, all tokens',
        [
            Contender('segment_anything', torch.float32, metas),
            Contender('transformers, SDPA', torch.float32, hugging_faces),
            *(Contender('mmdit', t, partial(ours, t)) for t in setting.dtypes),
        ],
        encoder_flops(setting, None, 'windowed' if windowed else 'all'),
        facts=setting.facts,
    )


def make_job(
    setting: Setting,
    model: nn.Module,
    dtype: torch.dtype,
    call: Callable[..., Tensor],
    *inputs: Tensor,
) -> Job:
    """Return a pass of a model as a function without arguments.

    Without gradients the weights themselves are of the given type; with
    gradients they stay float32 and autocast chooses, as in training.
    """
    device = setting.device.type
    model = model.to(setting.device)
    images = setting.images()
    if not setting.backward:
        model = model.eval().to(dtype)
        inputs = tuple(tensor.to(dtype) for tensor in inputs)
        images = images.to(dtype)

        @torch.inference_mode()
        def forward() -> Tensor:
            return call(model, images, *inputs)

        return forward

    model.train()

    def both() -> Tensor:
        for parameter in model.parameters():
            parameter.grad = None
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            out = call(model, images, *inputs)
        out.float().square().mean().backward()
        return out.detach()

    return both


def build_sam_vit(setting: Setting, **options: object) -> nn.Module:
    """Build our encoder with random weights, the same each time."""
    torch.manual_seed(0)
    model = SAMViT(setting.arch, **options)
    for name, parameter in model.named_parameters():
        if 'rel_pos' in name or 'injector' in name:
            nn.init.normal_(parameter, std=0.02)
    return model


def build_plain_sam(setting: Setting, windowed: bool) -> nn.Module:
    """Build our encoder without text, the same each time."""
    if windowed:
        return build_sam_vit(setting, attention='windowed')
    # No windows, no small relative tables: those that Meta's class has then.
    return build_sam_vit(setting, window_size=0)


def build_segment_anything(setting: Setting, windowed: bool) -> nn.Module:
    """Build Meta's encoder with our weights."""
    from segment_anything.modeling import ImageEncoderViT

    arch = ARCHS[setting.arch]
    blocks = arch['global_blocks'] if windowed else range(arch['depth'])
    model = ImageEncoderViT(
        img_size=1024,
        embed_dim=arch['embed_dims'],
        depth=arch['depth'],
        num_heads=arch['num_heads'],
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=tuple(blocks),
    )
    return load_resized(
        model, build_plain_sam(setting, windowed).state_dict(), setting
    )


def build_transformers(setting: Setting, windowed: bool) -> nn.Module:
    """Build the encoder of transformers with our weights."""
    from transformers import SamVisionConfig, SamVisionModel

    arch = ARCHS[setting.arch]
    blocks = arch['global_blocks'] if windowed else range(arch['depth'])
    config = SamVisionConfig(
        hidden_size=arch['embed_dims'],
        num_hidden_layers=arch['depth'],
        num_attention_heads=arch['num_heads'],
        mlp_dim=4 * arch['embed_dims'],
        global_attn_indexes=list(blocks),
        image_size=setting.size,
        attn_implementation='sdpa',
    )
    weights = build_plain_sam(setting, windowed).state_dict()
    renamed = rename(
        {f'backbone.{key}': value for key, value in weights.items()},
        TO_HF_SAM_PREFIXES,
        'encoder',
    )
    return load_resized(SamVisionModel(config), renamed.state_dict, setting)


def load_resized(
    model: nn.Module, weights: dict[str, Tensor], setting: Setting
) -> nn.Module:
    """Load weights; position tables get the model's size.

    These encoders take one size of image. Ours resizes its tables whenever
    it meets another, by the same interpolation.
    """
    from mmdit.models.layers import resize_position

    grid = setting.size // 16
    positions = nn.Parameter(torch.empty(0))
    for module in model.modules():
        if hasattr(module, 'pos_embed'):
            positions = module.pos_embed
    state = model.state_dict()
    for name, value in weights.items():
        if name.endswith('pos_embed'):
            resized = resize_position(value, (grid, grid))
            positions.data = resized.clone()
            state[name] = resized
        elif state[name].shape == value.shape:
            state[name] = value
        else:  # a relative table: the model resizes its own, linearly
            length = state[name].shape[0]
            state[name] = nn.functional.interpolate(
                value.t()[None], size=length, mode='linear'
            )[0].t()
    model.load_state_dict(state)
    return model


def encoder_flops(
    setting: Setting, injector: dict | None, attention: str = 'all'
) -> float:
    """Count the encoder's FLOPs of a case by formula."""
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/sam-vit-b.py').model
    cfg.backbone.update(
        arch=setting.arch, text_injector=injector, attention=attention
    )
    init_default_scope('mmdit')
    counted = count_config(cfg.to_dict(), (setting.size, setting.size))
    passes = 3 if setting.backward else 1
    return counted.flops['backbone'] * setting.batch * passes


def build_segmentor(setting: Setting, backend: str, folder: str) -> nn.Module:
    """Build L-DIT with a BERT-base of random weights."""
    from transformers import BertConfig

    vocab = Path(folder, 'vocab.txt')
    words = SPECIAL_TOKENS + 'the\nred\nthing\n'
    vocab.write_text(words, encoding='utf-8')
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/sam-vit-b.py').model
    cfg.pop('init_cfg')
    cfg.text_encoder = dict(
        type='BertTextEncoder',
        config=dict(vocab_size=BertConfig().vocab_size),
        vocab_file=str(vocab),
        max_tokens=TEXT_TOKENS,
    )
    cfg.backbone.update(
        arch=setting.arch,
        attention_backend=backend,
        text_injector=dict(type='LayerwiseProjection'),
    )
    cfg.data_preprocessor.size = (setting.size, setting.size)
    init_default_scope('mmdit')
    torch.manual_seed(0)
    return MODELS.build(cfg)


def training_step(setting: Setting, backend: str, dtype: torch.dtype) -> Job:
    """Return one step of the paper's recipe as a function."""
    from mmengine.optim import AmpOptimWrapper, OptimWrapper
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    from mmdit.engine.amp import BFloat16OptimWrapper

    with tempfile.TemporaryDirectory() as folder:
        model = build_segmentor(setting, backend, folder)
    model = model.to(setting.device).train()
    optimizer = torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad],
        lr=1e-4,
        betas=(0.9, 0.98),
        eps=1e-9,
        fused=True,
    )
    options = dict(optimizer=optimizer, clip_grad=dict(max_norm=0.15))
    wrappers = {
        torch.float32: OptimWrapper,
        torch.bfloat16: BFloat16OptimWrapper,
        torch.float16: partial(AmpOptimWrapper, dtype='float16'),
    }
    wrapper = wrappers[dtype](**options)
    samples, shape = [], (setting.size, setting.size)
    for _ in range(setting.batch):
        sample = SegDataSample(
            metainfo=dict(expression='the red thing', img_shape=shape)
        )
        sample.gt_sem_seg = PixelData(data=torch.ones(1, *shape).byte())
        samples.append(sample)
    batch = dict(
        inputs=list(torch.zeros(setting.batch, 3, *shape).byte()),
        data_samples=samples,
    )

    def step() -> Tensor:
        return model.train_step(batch, wrapper)['loss'].detach()

    return step
