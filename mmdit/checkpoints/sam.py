"""Keys of Meta's original ``sam_vit_{b,l,h}_*.pth``."""

from .rename import Drop, Table, invert

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
