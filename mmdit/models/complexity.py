"""Parameters and FLOPs of a segmentor, counted on tensors without data.

``torch.utils.flop_counter`` counts: one multiply-add is 2 FLOPs (the
``get_flops`` tools of other MM projects print multiply-adds: half of that),
and only products count, not norms, softmax, activations, sums and resizing.
The attention counted is the plain one, of which every backend computes the
same: columns that one of them adds for the position bias are not counted.

Shapes: B batch, L text tokens, H x W image grid, C encoder width.
"""

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Size, Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from mmdit.files import read_json
from mmdit.models.layers import attention_backend, give_each
from mmdit.registry import MODELS

# transformers' own defaults are this model's sizes.
BERT_BASE = ('bert-base-uncased', 'google-bert/bert-base-uncased')
SPECIAL_TOKENS = '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n'


@dataclass(frozen=True)
class Complexity:
    """Size and work of a segmentor.

    Attributes:
        parameters: Number of all parameters.
        trainable: Number of those with ``requires_grad``.
        flops: FLOPs of one forward pass of one image and its expressions, by
            part; a part that the segmentor lacks has 0.
    """

    parameters: int
    trainable: int
    flops: dict[str, int]

    @property
    def total_flops(self) -> int:
        """FLOPs of all parts together."""
        return sum(self.flops.values())


def count_config(
    cfg: dict, size: tuple[int, int] | None = None, expressions: int = 1
) -> Complexity:
    """Count a segmentor from its config, without weights or downloads.

    Names in the config must be known in MMEngine's default scope.

    Args:
        cfg: The ``model`` of a config.
        size: Height and width of the input; by default that of the data
            preprocessor.
        expressions: Of the image, in one call.
    """
    if size is None:
        size = cfg['data_preprocessor']['size']
    with build_fake(cfg) as model:
        return count_model(model.eval(), size, expressions)


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
        # Not the meta device: torch.autocast rejects it. Truncation, as of
        # ModernBERT's first weights, looks at values.
        with (
            FakeTensorMode(),
            mock.patch(
                'torch.nn.init._no_grad_trunc_normal_',
                lambda tensor, *_, **__: tensor,
            ),
        ):
            yield MODELS.build(cfg)


def count_model(
    model: nn.Module, size: tuple[int, int], expressions: int = 1
) -> Complexity:
    """Count a segmentor by running it on one empty image.

    Args:
        model: A segmentor; with a text encoder or without.
        size: Height and width of the input.
        expressions: Of the image, in one call. What they share is computed
            once, as in testing.
    """
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(
        display=False, custom_mapping={kernel: _count_attention}
    )
    with torch.no_grad(), attention_backend(model, 'reference'), counter:
        run_parts(model, 1, size, expressions)
    counts = counter.get_flop_counts()
    flops = {
        part: sum(counts[type(getattr(model, part)).__name__].values())
        for part in ('backbone', 'decode_head')
    }
    text = counter.get_total_flops() - sum(flops.values())
    numbers = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return Complexity(
        parameters=sum(number for number, _ in numbers),
        trainable=sum(number for number, trains in numbers if trains),
        flops=dict(text_encoder=text, **flops),
    )


def _describe_bert(cfg: dict, vocab_file: str) -> None:
    """Replace ``pretrained`` by the sizes of that BERT, in place.

    Other families are read with their tokenizers.
    """
    from transformers import BertConfig

    is_bert = cfg['type'].endswith('BertTextEncoder')
    pretrained = cfg.pop('pretrained', None) if is_bert else None
    if pretrained is None:
        return
    config_file = Path(pretrained) / 'config.json'
    if config_file.is_file():
        cfg['config'] = read_json(config_file, 'download it again')
    elif pretrained in BERT_BASE:
        cfg['config'] = dict(vocab_size=BertConfig().vocab_size)
    else:
        raise ValueError(
            f'the sizes of text_encoder.pretrained={pretrained!r} are not '
            f'known; expected {BERT_BASE[0]} or a directory with config.json'
        )
    cfg['vocab_file'] = vocab_file


def run_parts(
    model: Any, images: int, size: tuple[int, int], queries: int | None = None
) -> Tensor:
    """Return logits of empty images with text or one point each.

    Args:
        model: A segmentor.
        images: Their number M.
        size: Height and width of the input.
        queries: Number of texts or points B; by default that of the images,
            else of a single image.

    Returns:
        (B, 1, 4H, 4W).
    """
    queries = images if queries is None else queries
    text, points, labels = None, None, None
    if model.text_encoder is not None:
        # No attention mask, which changes no shape: transformers looks at its
        # values, and there are none.
        length = model.text_encoder.max_tokens
        ids = torch.zeros(queries, length, dtype=torch.long)
        text = model.text_encoder.encoder(input_ids=ids).last_hidden_state
    else:
        points = torch.zeros(queries, 1, 2)
        labels = torch.ones(queries, 1).long()
    feats = model.extract_feat(torch.zeros(images, 3, *size), text)
    feats = tuple(give_each(feat, queries, None) for feat in feats)
    return model.decode_head(feats, text, points=points, labels=labels)


def _count_attention(
    query: Size, key: Size, value: Size, *_: Any, **__: Any
) -> int:
    """Count the one kernel of attention that torch has no formula for."""
    return sdpa_flop_count(query, key, value)
