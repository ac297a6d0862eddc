"""Keys of ``transformers``' ``SamModel``.

Values are laid out as Meta's; only the names differ.
"""

from torch import Tensor

from .rename import Table, invert
from .sam import TEXT_PARTS

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
