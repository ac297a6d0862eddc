"""Parameters and FLOPs of a segmentor, counted by formula.

One multiply-add is 2 FLOPs, as ``torch.utils.flop_counter`` has it (the
``get_flops`` tools of other MM projects print multiply-adds: half of that).
Counted are the products of linear layers, convolutions and attention; not
norms, softmax, activations, sums and resizing. The counts are those of the
method: that ``attend`` appends the position bias to the heads is a choice of
ours, and such columns are not counted.

Shapes: B batch, L text tokens, H x W image grid, C encoder width.
"""

import copy
import inspect
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmdit.models.backbones import SAMViT
from mmdit.models.backbones.sam_vit import PatchEmbed
from mmdit.models.heads import SAMMaskHead
from mmdit.models.injectors.cross_attention import CrossAttention
from mmdit.models.layers import JointAttention
from mmdit.models.text_encoders import BertTextEncoder
from mmdit.registry import MODELS

#: Parts of a segmentor and the classes whose formulas are known.
PARTS: dict[str, type[nn.Module]] = dict(
    text_encoder=BertTextEncoder, backbone=SAMViT, decode_head=SAMMaskHead
)
# transformers' own defaults are this model's sizes.
BERT_BASE = ('bert-base-uncased', 'google-bert/bert-base-uncased')
SPECIAL_TOKENS = '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n'

# Module, its inputs by name and its output -> FLOPs of the products that the
# module computes itself; its submodules have formulas of their own.
Formula = Callable[[Any, dict[str, Any], Any], int]


@dataclass(frozen=True)
class Complexity:
    """Size and work of a segmentor.

    Attributes:
        parameters: Number of all parameters.
        trainable: Number of those with ``requires_grad``.
        flops: FLOPs of one forward pass of one image, by part; a part that
            the segmentor lacks has 0.
    """

    parameters: int
    trainable: int
    flops: dict[str, int]

    @property
    def total_flops(self) -> int:
        """FLOPs of all parts together."""
        return sum(self.flops.values())


def count_config(cfg: dict, size: tuple[int, int] | None = None) -> Complexity:
    """Count a segmentor from its config, without weights or downloads.

    Names in the config must be known in MMEngine's default scope.

    Args:
        cfg: The ``model`` of a config.
        size: Height and width of the input; by default that of the data
            preprocessor.
    """
    if size is None:
        size = cfg['data_preprocessor']['size']
    with build_fake(cfg) as model:
        for module in model.modules():
            if isinstance(module, JointAttention):
                # The CPU's loop over pieces takes long without data, and
                # what is counted is the same.
                module.backend = 'folded'
        return count_model(model.eval(), size)


@contextmanager
def build_fake(cfg: dict) -> Iterator[nn.Module]:
    """Build a segmentor of tensors that have shapes and no memory.

    Inside, all new tensors are such ones. Neither weights nor a vocabulary
    are read.

    Args:
        cfg: The ``model`` of a config.
    """
    cfg = copy.deepcopy(cfg)
    cfg.pop('init_cfg', None)
    with tempfile.TemporaryDirectory() as folder:
        if cfg.get('text_encoder') is not None:
            vocab_file = Path(folder) / 'vocab.txt'
            vocab_file.write_text(SPECIAL_TOKENS, encoding='utf-8')
            _describe_bert(cfg['text_encoder'], str(vocab_file))
        # Not the meta device: torch.autocast refuses it.
        with FakeTensorMode():
            yield MODELS.build(cfg)


def count_model(model: nn.Module, size: tuple[int, int]) -> Complexity:
    """Count a segmentor by running it on one empty image.

    Args:
        model: A segmentor of the parts that ``PARTS`` names.
        size: Height and width of the input.
    """
    flops = dict.fromkeys(PARTS, 0)
    handles = []
    try:
        for part, known in PARTS.items():
            root = getattr(model, part)
            if root is None:
                continue
            if not isinstance(root, known):
                raise ValueError(
                    f'FLOPs of {part} are known for {known.__name__} only, '
                    f'got {type(root).__name__}'
                )
            handles += _watch(root, part, flops)
        with torch.no_grad():
            run_parts(model, 1, size)
    finally:
        for handle in handles:
            handle.remove()
    numbers = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return Complexity(
        parameters=sum(number for number, _ in numbers),
        trainable=sum(number for number, trains in numbers if trains),
        flops=flops,
    )


def _describe_bert(cfg: dict, vocab_file: str) -> None:
    """Replace ``pretrained`` by the sizes of that BERT, in place."""
    from transformers import BertConfig

    pretrained = cfg.pop('pretrained', None)
    if pretrained is None:
        return
    config_file = Path(pretrained) / 'config.json'
    if config_file.is_file():
        cfg['config'] = json.loads(config_file.read_text(encoding='utf-8'))
    elif pretrained in BERT_BASE:
        cfg['config'] = dict(vocab_size=BertConfig().vocab_size)
    else:
        raise ValueError(
            f'the sizes of text_encoder.pretrained={pretrained!r} are not '
            f'known; expected {BERT_BASE[0]} or a directory with config.json'
        )
    cfg['vocab_file'] = vocab_file


def run_parts(model: Any, batch: int, size: tuple[int, int]) -> Tensor:
    """Return logits (B, 1, 4H, 4W) of empty images with text or one point."""
    text, points, labels = None, None, None
    if model.text_encoder is not None:
        # No attention mask, which changes no shape: transformers looks at its
        # values, and there are none.
        length = model.text_encoder.max_tokens
        ids = torch.zeros(batch, length, dtype=torch.long)
        text = model.text_encoder.bert(input_ids=ids).last_hidden_state
    else:
        points = torch.zeros(batch, 1, 2)
        labels = torch.ones(batch, 1).long()
    feats = model.extract_feat(torch.zeros(batch, 3, *size), text)
    return model.decode_head(feats, text, points=points, labels=labels)


def _watch(root: nn.Module, part: str, flops: dict[str, int]) -> list:
    """Let every module below ``root`` add its FLOPs whenever it runs."""
    handles = []
    formulas = _formulas()
    for module in root.modules():
        for known, formula in formulas.items():
            if isinstance(module, known):
                hook = _make_hook(module, formula, part, flops)
                handles.append(
                    module.register_forward_hook(hook, with_kwargs=True)
                )
    return handles


def _make_hook(
    module: nn.Module, formula: Formula, part: str, flops: dict[str, int]
) -> Callable:
    signature = inspect.signature(module.forward)

    def hook(module: nn.Module, args: tuple, kwargs: dict, out: Any) -> None:
        inputs = signature.bind(*args, **kwargs).arguments
        flops[part] += formula(module, inputs, out)

    return hook


def _formulas() -> dict[type[nn.Module], Formula]:
    from segment_anything.modeling.prompt_encoder import (
        PositionEmbeddingRandom,
    )
    from segment_anything.modeling.transformer import Attention
    from transformers.models.bert.modeling_bert import BertSelfAttention

    return {
        nn.Linear: _linear,
        nn.Conv2d: _convolution,
        PatchEmbed: _patch_embedding,
        nn.ConvTranspose2d: _transposed_convolution,
        JointAttention: _joint_attention,
        CrossAttention: _cross_attention,
        BertSelfAttention: _bert_attention,
        Attention: _sam_attention,
        PositionEmbeddingRandom: _position_embedding,
        SAMMaskHead: _mask_head,
    }


def _linear(module: nn.Linear, inputs: dict, out: Tensor) -> int:
    return 2 * out.numel() * module.in_features


def _convolution(module: nn.Conv2d, inputs: dict, out: Tensor) -> int:
    return 2 * out.numel() * module.weight[0].numel()


def _patch_embedding(module: PatchEmbed, inputs: dict, out: Tensor) -> int:
    return _convolution(module.proj, inputs, out)


def _transposed_convolution(
    module: nn.ConvTranspose2d, inputs: dict, out: Tensor
) -> int:
    return 2 * inputs['input'].numel() * module.weight[0].numel()


def _attention(batch: int, queries: int, keys: int, dims: int) -> int:
    """Scores and weighted sums of values; ``dims`` of all heads together."""
    return 2 * 2 * batch * queries * keys * dims


def _joint_attention(module: JointAttention, inputs: dict, out: Tensor) -> int:
    batch, length, channels = inputs['x'].shape
    height, width = inputs['grid']
    texts, unread = length - height * width, length - out.shape[1]
    if side := module.window_size:
        batch *= -(-height // side) * -(-width // side)
        height = width = side
    tokens = height * width
    keys = tokens + texts
    # Rows of text that nobody reads are no queries, and not in the output.
    queries = keys - unread
    relative = 2 * batch * tokens * (height + width) * channels
    return relative + _attention(batch, queries, keys, channels)


def _cross_attention(module: CrossAttention, inputs: dict, out: Tensor) -> int:
    batch, queries, _ = inputs['query'].shape
    keys = inputs['source'].shape[1]
    return _attention(batch, queries, keys, module.query.out_features)


def _bert_attention(module: Any, inputs: dict, out: Any) -> int:
    batch, tokens, _ = inputs['hidden_states'].shape
    return _attention(batch, tokens, tokens, module.all_head_size)


def _sam_attention(module: Any, inputs: dict, out: Tensor) -> int:
    batch, queries, _ = inputs['q'].shape
    keys = inputs['k'].shape[1]
    return _attention(batch, queries, keys, module.internal_dim)


def _position_embedding(module: Any, inputs: dict, out: Tensor) -> int:
    # (H, W, 2) coordinates times (2, T/2), then sine and cosine: (T, H, W).
    return 2 * out.numel()


def _mask_head(module: Any, inputs: dict, out: Tensor) -> int:
    # The mask is one product of a token with every pixel's channels.
    token = module.mask_decoder.output_hypernetworks_mlps[0].layers[-1]
    flops = 2 * out.numel() * token.out_features
    if inputs.get('points') is not None:
        flops += inputs['points'].numel() * module.embed_dims
    return flops
