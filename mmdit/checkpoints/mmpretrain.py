"""Keys of MMPreTrain's ``ViTSAM``, which MMSegmentation borrows.

SAM's image encoder alone. Values are laid out as Meta's; only the names
differ.
"""

from .rename import Drop, Table, invert

_ENCODER = {
    'pos_embed': 'pos_embed',
    'patch_embed.projection.': 'patch_embed.proj.',
    'layers.{i}.ln1.': 'blocks.{i}.norm1.',
    'layers.{i}.attn.': 'blocks.{i}.attn.',
    'layers.{i}.ln2.': 'blocks.{i}.norm2.',
    'layers.{i}.ffn.layers.0.0.': 'blocks.{i}.mlp.lin1.',
    'layers.{i}.ffn.layers.1.': 'blocks.{i}.mlp.lin2.',
    'channel_reduction.{i}.': 'neck.{i}.',
}
_OTHER_HEAD = Drop('a head of another project')
MMPRETRAIN_PREFIXES: Table = {
    **{f'backbone.{old}': f'backbone.{new}' for old, new in _ENCODER.items()},
    'decode_head.': _OTHER_HEAD,
    'auxiliary_head.': _OTHER_HEAD,
    'head.': _OTHER_HEAD,
    'data_preprocessor.': Drop('mean and std come from the config'),
}
TO_MMPRETRAIN_PREFIXES: Table = {
    **invert(MMPRETRAIN_PREFIXES),
    'backbone.text_injector.': Drop("no text enters ViTSAM's blocks"),
    'decode_head.': Drop('ViTSAM is the image encoder alone'),
    'text_encoder.': Drop('ViTSAM has no text encoder'),
}
