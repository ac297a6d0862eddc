"""Keys of the checkpoints that DIT's authors train.

Their variants share key names: nothing in a file tells L-DIT from E-DIT
(``probs.{i}``). The config decides which one reads the weights.
"""

from .rename import Drop, Table, invert
from .sam import sam_table

_INJECTOR = 'backbone.text_injector.'
_LINEARS = dict(q='query', k='key', v='value', merge='out')
# Their LayerNorms call scale and shift a_2 and b_2; the second spelling is
# read only.
_NORM_PARTS = {'a_2': 'weight', 'b_2': 'bias'}
_NORM_PARTS |= {'weight': 'weight', 'bias': 'bias'}


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
