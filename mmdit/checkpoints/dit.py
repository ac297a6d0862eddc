"""Keys of the checkpoints that DIT's authors train.

Their variants share key names: nothing in a file tells L-DIT from E-DIT
(``probs.{i}``). The config decides which one reads the weights.

Their forward pass reads the output of BERT's first layer; the layers above it
are in every file, as trained by nobody.
"""

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from .rename import Drop, Renamed, Table, invert
from .sam import sam_table

_INJECTOR = 'backbone.text_injector.'
_LINEARS = dict(q='query', k='key', v='value', merge='out')
# Older files call scale and shift of their LayerNorms a_2 and b_2; these are
# read only.
_NORM_PARTS = {'weight': 'weight', 'bias': 'bias'}
_NORM_PARTS |= {'a_2': 'weight', 'b_2': 'bias'}


def _norm(theirs: str, ours: str) -> dict[str, str]:
    """Return the table of one LayerNorm."""
    return {f'{theirs}.{a}': f'{ours}.{b}' for a, b in _NORM_PARTS.items()}


_CROSS_ATTENTION = {
    f'cross.{{i}}.linear_{a}.': f'attentions.{{i}}.{b}.'
    for a, b in _LINEARS.items()
}
_CROSS_ATTENTION_FFN = {
    **{
        f'cross.{{i}}.mhatt.linear_{a}.': f'layers.{{i}}.attention.{b}.'
        for a, b in _LINEARS.items()
    },
    'cross.{i}.ffn.mlp.fc.linear.': 'layers.{i}.ffn.fc1.',
    'cross.{i}.ffn.mlp.linear.': 'layers.{i}.ffn.fc2.',
    **_norm('cross.{i}.norm1', 'layers.{i}.norm1'),
    **_norm('cross.{i}.norm2', 'layers.{i}.norm2'),
}
INJECTOR_PREFIXES: dict[str, str] = {
    'probs.{i}.': 'projections.{i}.',
    'probs.weight': 'projection.weight',  # E-DIT + static has only one
    'probs.bias': 'projection.bias',
    'tokens': 'offsets',
    'prob_text.': 'adapter.',
    **_norm('ln.{i}', 'norms.{i}'),
    **_CROSS_ATTENTION,
    **_CROSS_ATTENTION_FFN,
}

_BERT_NORMS = (
    'embeddings.LayerNorm',
    'encoder.layer.{i}.attention.output.LayerNorm',
    'encoder.layer.{i}.output.LayerNorm',
)
# The first spelling of TensorFlow's BERT.
_OLD_BERT = {
    f'lang_encoder.bert.{norm}.{old}': f'text_encoder.bert.{norm}.{new}'
    for norm in _BERT_NORMS
    for old, new in (('gamma', 'weight'), ('beta', 'bias'))
}
UNUSED = "never read by the authors' forward pass"
DIT_PREFIXES: Table = {
    **sam_table('visual_encoder'),
    **{
        f'visual_encoder.{old}': _INJECTOR + new
        for old, new in INJECTOR_PREFIXES.items()
    },
    'text_proj.': 'decode_head.text_proj.',
    'lang_encoder.bert.embeddings.': 'text_encoder.bert.embeddings.',
    'lang_encoder.bert.encoder.': 'text_encoder.bert.encoder.',
    **_OLD_BERT,
    'lang_encoder.bert.embeddings.position_ids': Drop(
        'the numbers 0, 1, 2, ..., no weights'
    ),
    'lang_encoder.bert.pooler.': Drop(
        "BERT's sentence vector; the method reads its tokens"
    ),
    'query_embeddings': Drop(UNUSED),
    'self_attention.': Drop(UNUSED),
}
TO_DIT_PREFIXES: Table = {
    new: old
    for new, old in invert(DIT_PREFIXES).items()
    if old not in _OLD_BERT
}

_BERT = 'text_encoder.bert.'
_TEXT_LAYER = re.compile(re.escape(_BERT) + r'encoder\.layer\.(\d+)\.')
# BERT-base's depth, which their strict loading demands.
_BERT_DEPTH = 12
_QUERIES = 4


def count_text_layers(names: Iterable[str]) -> int:
    """Count the layers of BERT of a model with these parameter names."""
    return 1 + max(map(_text_layer, names), default=-1)


def drop_text_layers(renamed: Renamed, kept: int) -> None:
    """Leave out the layers of BERT that a model does not compute.

    Args:
        renamed: What became of a file of theirs; changed in place.
        kept: Number of layers that it computes; 0 where it has no BERT.
    """
    if not kept:
        return
    for key in list(renamed.state_dict):
        if _text_layer(key) >= kept:
            del renamed.state_dict[key]
            renamed.drop(
                f'BERT layers {kept + 1} and up',
                f'the text is the output of layer {kept}',
            )


def add_unread(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add what their strict loading demands and their model never reads.

    Args:
        state_dict: A model by their names.

    Returns:
        The same with zeros for the upper layers of BERT, its pooler,
        ``query_embeddings`` and, where text enters the encoder,
        ``self_attention``.
    """
    lang = 'lang_encoder.bert.'
    words = state_dict.get(f'{lang}embeddings.word_embeddings.weight')
    if words is None:
        raise ValueError(
            "the DIT authors' models read text, but these weights hold no "
            'BERT; expected a model with a BertTextEncoder'
        )
    width = words.shape[1]
    shapes: dict[str, Iterable[int]] = {}
    first = f'{lang}encoder.layer.0.'
    for key, value in state_dict.items():
        if key.startswith(first):
            for i in range(1, _BERT_DEPTH):
                name = f'{lang}encoder.layer.{i}.{key.removeprefix(first)}'
                shapes[name] = value.shape
    shapes[f'{lang}pooler.dense.weight'] = (width, width)
    shapes[f'{lang}pooler.dense.bias'] = (width,)
    shapes['query_embeddings'] = (1, _QUERIES, width)
    parts = ('probs', 'tokens', 'cross')
    injected = tuple(f'visual_encoder.{part}' for part in parts)
    if any(key.startswith(injected) for key in state_dict):
        shapes |= {
            'self_attention.in_proj_weight': (3 * width, width),
            'self_attention.in_proj_bias': (3 * width,),
            'self_attention.out_proj.weight': (width, width),
            'self_attention.out_proj.bias': (width,),
        }
    absent = {key: s for key, s in shapes.items() if key not in state_dict}
    # One stored zero each: torch.save keeps views as they are.
    zero = torch.zeros(())
    return state_dict | {key: zero.expand(*s) for key, s in absent.items()}


def _text_layer(key: str) -> int:
    """Return the index of the BERT layer of a parameter, or -1."""
    match = _TEXT_LAYER.match(key)
    return int(match[1]) if match else -1
