"""Keys of SAM's weights: Meta's, transformers' and MMPreTrain's.

Values are laid out alike; only the names differ.
"""

from torch import Tensor

from .rename import Drop, Table, invert

# Meta's original sam_vit_{b,l,h}_*.pth.
ENCODER_PARTS = (
    'pos_embed',
    'patch_embed.proj.',
    'blocks.{i}.norm1.',
    'blocks.{i}.attn.',
    'blocks.{i}.norm2.',
    'blocks.{i}.mlp.',
    'neck.{i}.',
)
DECODER_PARTS = (
    'prompt_encoder.pe_layer.positional_encoding_gaussian_matrix',
    'prompt_encoder.point_embeddings.{i}.',
    'prompt_encoder.not_a_point_embed.',
    'prompt_encoder.no_mask_embed.',
    'prompt_encoder.mask_downscaling.{i}.',
    'mask_decoder.transformer.',
    'mask_decoder.iou_token.',
    'mask_decoder.mask_tokens.',
    'mask_decoder.output_upscaling.{i}.',
    'mask_decoder.output_hypernetworks_mlps.{i}.',
    'mask_decoder.iou_prediction_head.',
)


def sam_table(encoder: str) -> dict[str, str]:
    """Return SAM's table where its image encoder is called ``encoder``."""
    table = {f'{encoder}.{part}': f'backbone.{part}' for part in ENCODER_PARTS}
    return table | {part: f'decode_head.{part}' for part in DECODER_PARTS}


SAM_PREFIXES: Table = sam_table('image_encoder')

#: What SAM has no place for.
TEXT_PARTS: Table = {
    'text_encoder.': Drop('SAM has no text encoder'),
    'backbone.text_injector.': Drop("no text enters SAM's image encoder"),
    'decode_head.text_proj.': Drop("no text enters SAM's mask decoder"),
}
TO_SAM_PREFIXES: Table = {**invert(SAM_PREFIXES), **TEXT_PARTS}

# SamModel of transformers.
POSITIONS = 'shared_image_embedding.positional_embedding'
POSITIONS_AGAIN = 'prompt_encoder.shared_embedding.positional_embedding'

_ENCODER = {
    'pos_embed': 'pos_embed',
    'patch_embed.projection.': 'patch_embed.proj.',
    'layers.{i}.layer_norm1.': 'blocks.{i}.norm1.',
    'layers.{i}.attn.': 'blocks.{i}.attn.',
    'layers.{i}.layer_norm2.': 'blocks.{i}.norm2.',
    'layers.{i}.mlp.': 'blocks.{i}.mlp.',
    'neck.conv1.': 'neck.0.',
    'neck.layer_norm1.': 'neck.1.',
    'neck.conv2.': 'neck.2.',
    'neck.layer_norm2.': 'neck.3.',
}
_PROMPT_ENCODER = {
    'shared_embedding.positional_embedding': (
        'pe_layer.positional_encoding_gaussian_matrix'
    ),
    'point_embed.{i}.': 'point_embeddings.{i}.',
    'not_a_point_embed.': 'not_a_point_embed.',
    'no_mask_embed.': 'no_mask_embed.',
    'mask_embed.conv1.': 'mask_downscaling.0.',
    'mask_embed.layer_norm1.': 'mask_downscaling.1.',
    'mask_embed.conv2.': 'mask_downscaling.3.',
    'mask_embed.layer_norm2.': 'mask_downscaling.4.',
    'mask_embed.conv3.': 'mask_downscaling.6.',
}
# Activations have an index of their own in Meta's output_upscaling, and in
# both formats an MLP has three layers.
_MASK_DECODER = {
    'transformer.': 'transformer.',
    **{
        f'transformer.layers.{{i}}.layer_norm{n}.': (
            f'transformer.layers.{{i}}.norm{n}.'
        )
        for n in (1, 2, 3, 4)
    },
    'transformer.layer_norm_final_attn.': 'transformer.norm_final_attn.',
    'iou_token.': 'iou_token.',
    'mask_tokens.': 'mask_tokens.',
    'upscale_conv1.': 'output_upscaling.0.',
    'upscale_layer_norm.': 'output_upscaling.1.',
    'upscale_conv2.': 'output_upscaling.3.',
    **{
        f'{mlp}.{theirs}.': f'{mlp}.{ours}.'
        for mlp in ('output_hypernetworks_mlps.{i}', 'iou_prediction_head')
        for theirs, ours in (
            ('proj_in', 'layers.0'),
            ('layers.0', 'layers.1'),
            ('proj_out', 'layers.2'),
        )
    },
}


def _below(theirs: str, ours: str, table: dict[str, str]) -> dict[str, str]:
    """Put a prefix before both sides of a table."""
    return {theirs + old: ours + new for old, new in table.items()}


HF_SAM_PREFIXES: Table = {
    # Stored under one name, the other or both: they are tied.
    POSITIONS: (
        'decode_head.prompt_encoder.pe_layer.'
        'positional_encoding_gaussian_matrix'
    ),
    **_below('vision_encoder.', 'backbone.', _ENCODER),
    **_below(
        'prompt_encoder.', 'decode_head.prompt_encoder.', _PROMPT_ENCODER
    ),
    **_below('mask_decoder.', 'decode_head.mask_decoder.', _MASK_DECODER),
}
TO_HF_SAM_PREFIXES: Table = {**invert(HF_SAM_PREFIXES), **TEXT_PARTS}


def add_tied(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Store the tied position matrix twice, as ``transformers`` 4 expects."""
    if POSITIONS not in state_dict:
        return state_dict
    return {**state_dict, POSITIONS_AGAIN: state_dict[POSITIONS].clone()}


# ViTSAM of MMPreTrain, which MMSegmentation borrows: the image encoder alone.
_MMPRETRAIN = {
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
    **{
        f'backbone.{old}': f'backbone.{new}'
        for old, new in _MMPRETRAIN.items()
    },
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
