"""What ``speed.py`` measures: encoders and whole models, side by side.

A case is a job that several contenders do on the same input, in one run. Every
contender is a function without arguments that returns its output.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from machine import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from speed_models import (
    TEXT_TOKENS,
    build_ldit,
    build_plain_ldit,
    build_plain_sam,
    build_segment_anything,
    build_segmentor,
    build_transformers,
    compile_blocks,
)
from torch import Tensor, nn

from mmdit.export.modules import make_parts
from mmdit.models.backbones.archs import ARCHS
from mmdit.models.complexity import count_config

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
    """Of what size, on what, and in which direction a case runs.

    Attributes:
        backends: Attention backends that ours is measured with, beside the
            reference; 'auto' is what users get.
    """

    arch: str
    batch: int
    size: int
    dtypes: tuple[torch.dtype, ...]
    backward: bool
    device: torch.device
    backends: tuple[str, ...] = ('auto',)

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
    arch, size = setting.arch, setting.size

    def plain() -> Job:
        return text_job(setting, build_plain_ldit(arch, size), torch.float32)

    def ours(backend: str, dtype: torch.dtype) -> Job:
        return text_job(setting, build_ldit(arch, backend), dtype)

    reference = partial(ours, 'reference', torch.float32)
    return Case(
        'text in every block, all tokens',
        [
            Contender('plain', torch.float32, plain),
            Contender('mmdit, reference', torch.float32, reference),
            *each_backend(setting, ours),
        ],
        encoder_flops(setting, dict(type='LayerwiseProjection')),
        facts=setting.facts,
    )


def each_backend(
    setting: Setting, make: Callable[[str, torch.dtype], Job]
) -> list[Contender]:
    """Make a contender of each dtype and attention backend."""
    return [
        Contender(
            'mmdit' if backend == 'auto' else f'mmdit, {backend}',
            dtype,
            partial(make, backend, dtype),
        )
        for dtype in setting.dtypes
        for backend in setting.backends
    ]


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


def step_case(setting: Setting) -> Case:
    """A training step of the whole model: BERT-base, L-DIT, head, Adam."""
    float32 = torch.float32
    reference = partial(training_step, setting, 'reference', float32)
    return Case(
        'training step of L-DIT with BERT-base',
        [
            Contender('mmdit, reference', float32, reference),
            *each_backend(setting, partial(training_step, setting)),
        ],
        # The loss is no output to compare: dropout draws anew each time.
        equal=False,
        facts=dict(setting.facts, measured='training step'),
    )


def expressions_case(setting: Setting, in_encoder: bool) -> Case:
    """Several expressions of one image: one call of all, a call of each."""
    said = ['thing' + ' red' * n for n in range(8)]
    calls = f'{len(said)} calls'

    def predictions(dtype: torch.dtype, batches: list[dict]) -> Job:
        model = build_segmentor(
            setting.arch, setting.size, first_block=0 if in_encoder else None
        )
        model = model.to(setting.device).eval()
        mixed = dtype != torch.float32

        @torch.inference_mode()
        def predict() -> Tensor:
            with torch.autocast(setting.device.type, dtype, enabled=mixed):
                samples = [s for b in batches for s in model.test_step(b)]
            return torch.cat([sample.seg_logits.data for sample in samples])

        return predict

    one_by_one = [make_batch(setting.size, [words]) for words in said]
    together = [make_batch(setting.size, said)]
    contenders = []
    for dtype in setting.dtypes:
        separate = partial(predictions, dtype, one_by_one)
        contenders += [
            Contender(f'mmdit, {calls}', dtype, separate),
            Contender('mmdit', dtype, partial(predictions, dtype, together)),
        ]
    place = 'text in every block' if in_encoder else 'text in the head only'
    return Case(
        f'{len(said)} expressions of one image, {place}',
        contenders,
        facts=dict(setting.facts, measured='prediction', batch=1),
    )


def inference_case(setting: Setting, compile_with: dict | None = None) -> Case:
    """From token ids and images to masks, one expression for each image.

    Args:
        setting: Its batch and size.
        compile_with: Options of ``torch.compile``, to compare what it makes
            with what it takes; None compares with plain float32.
    """
    float32, bfloat16 = torch.float32, torch.bfloat16

    def job(
        backend: str,
        dtype: torch.dtype,
        options: dict | None = None,
        graph: bool = False,
    ) -> Job:
        model = build_segmentor(setting.arch, setting.size, backend)
        model = model.to(setting.device).eval()
        if options is not None:
            compile_blocks(model, **options)
        text, mask = make_parts(model)
        torch.manual_seed(2)
        words = [
            tensor.to(setting.device)
            for tensor in text.example(setting.batch, TEXT_TOKENS).values()
        ]
        images = setting.images()
        precision = torch.autocast(
            setting.device.type,
            dtype,
            enabled=dtype != float32,
            # What a graph has recorded must not lie in a cache.
            cache_enabled=not graph,
        )

        @torch.inference_mode()
        def predict() -> Tensor:
            with precision:
                return mask(images, text(*words))[0]

        return recorded(predict) if graph else predict

    if compile_with is None:
        contenders = [
            Contender(
                'mmdit, reference', float32, partial(job, 'reference', float32)
            ),
            Contender('mmdit', float32, partial(job, 'auto', float32)),
        ]
    else:
        contenders = []
    eager = partial(job, 'auto', bfloat16)
    contenders.append(Contender('mmdit', bfloat16, eager))
    if compile_with is not None:
        eager = partial(eager, compile_with)
        contenders.append(Contender('mmdit, compiled', bfloat16, eager))
    if setting.device.type == 'cuda':
        name = f'{contenders[-1].name}, CUDA graph'
        contenders.append(
            Contender(name, bfloat16, partial(eager, graph=True))
        )
    return Case(
        'inference with BERT-base, from token ids to masks',
        contenders,
        facts=dict(setting.facts, measured='inference'),
    )


def recorded(job: Job) -> Job:
    """Record the kernels of a job; what is returned launches all at once."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            job()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = job()

    def replay() -> Tensor:
        graph.replay()
        return out

    return replay


def sam_case(setting: Setting, windowed: bool) -> Case:
    """SAM's own encoder without text, of three packages."""

    def ours(dtype: torch.dtype) -> Job:
        model = build_plain_sam(setting.arch, windowed)
        return make_job(setting, model, dtype, lambda m, x: m(x)[0])

    def metas() -> Job:
        model = build_segment_anything(setting.arch, setting.size, windowed)
        return make_job(setting, model, torch.float32, lambda m, x: m(x))

    def hugging_faces() -> Job:
        model = build_transformers(setting.arch, setting.size, windowed)
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


def training_step(
    setting: Setting,
    backend: str,
    dtype: torch.dtype,
    compile_with: dict | None = None,
) -> Job:
    """Return one step of the paper's recipe as a function.

    Args:
        setting: Its batch and size.
        backend: Of the attention.
        dtype: Of the products.
        compile_with: Options of ``torch.compile``; None compiles nothing.
    """
    from mmengine.optim import AmpOptimWrapper, OptimWrapper

    from mmdit.engine.amp import BFloat16OptimWrapper

    model = build_segmentor(setting.arch, setting.size, backend)
    model = model.to(setting.device).train()
    if compile_with is not None:
        compile_blocks(model, **compile_with)
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
    batch = make_batch(setting.size, ['the red thing'] * setting.batch)

    def step() -> Tensor:
        return model.train_step(batch, wrapper)['loss'].detach()

    return step


def make_batch(size: int, expressions: list[str]) -> dict:
    """Return one empty image with each expression, as a data loader does."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    shape = size, size
    samples = []
    for expression in expressions:
        sample = SegDataSample(
            metainfo=dict(
                expression=expression, img_shape=shape, ori_shape=shape
            )
        )
        sample.gt_sem_seg = PixelData(data=torch.ones(1, *shape).byte())
        samples.append(sample)
    images = torch.zeros(len(samples), 3, *shape).byte()
    return dict(inputs=list(images), data_samples=samples)
