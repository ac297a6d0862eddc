"""Write SAM as a directory that ``transformers.SamModel`` opens."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmdit.optional import needed_by

from .architecture import LAYERS, read_backbone, read_head, read_shapes
from .rename import rename
from .sam import HF_SAM_PREFIXES
from .strict import find_mismatches


def make_hf_config(
    state_dict: dict[str, Tensor], hf_config: str | None = None
) -> Any:
    """Make a ``SamConfig`` and check that it describes ``state_dict``.

    Args:
        state_dict: Tensors by the names of ``SamModel``.
        hf_config: File or directory with a config to use instead of one that
            is read off the shapes.
    """
    with needed_by('a directory for SamModel', 'mmdit-seg[bert]'):
        from transformers import SamConfig, SamModel
    if hf_config is None:
        config = SamConfig(**derive_config(state_dict))
    else:
        path = Path(hf_config)
        path = path / 'config.json' if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(
                f'--hf-config {hf_config!r}: {path} does not exist; give the '
                'config.json of a SamModel, or its directory'
            )
        config = SamConfig.from_json_file(str(path))
    config.architectures = ['SamModel']
    with torch.device('meta'):
        expected = SamModel(config).state_dict()
    lines = find_mismatches(expected, state_dict)
    if lines:
        raise ValueError(
            'the config of SamModel '
            + (f'from {hf_config}' if hf_config else 'read off the shapes')
            + ' does not fit these weights; give one that does with '
            '--hf-config:\n  ' + '\n  '.join(lines)
        )
    return config


def derive_config(state_dict: dict[str, Tensor]) -> dict[str, dict]:
    """Read the arguments of ``SamConfig`` off the shapes."""
    ours = rename(state_dict, HF_SAM_PREFIXES, "transformers' SamModel")
    shapes = read_shapes(ours.state_dict)
    head, backbone = read_head(shapes), read_backbone(shapes)
    width, arch = head['embed_dims'], backbone['arch']
    image_size = backbone['img_size']
    patch_size = backbone['patch_size']
    prompts = 'decode_head.prompt_encoder.pe_layer.'
    inner = shapes[f'{LAYERS}0.cross_attn_token_to_image.q_proj.weight'][0]
    rating = 'decode_head.mask_decoder.iou_prediction_head.layers.0.weight'
    mlp_dims = round(backbone['mlp_ratio'] * arch['embed_dims'])
    return dict(
        vision_config=dict(
            hidden_size=arch['embed_dims'],
            num_hidden_layers=arch['depth'],
            num_attention_heads=arch['num_heads'],
            num_channels=backbone['in_channels'],
            patch_size=patch_size,
            image_size=image_size,
            window_size=backbone['window_size'],
            global_attn_indexes=list(arch['global_attn_indexes']),
            mlp_dim=mlp_dims,
            mlp_ratio=backbone['mlp_ratio'],
            output_channels=backbone['out_channels'],
            num_pos_feats=shapes[
                f'{prompts}positional_encoding_gaussian_matrix'
            ][1],
        ),
        prompt_encoder_config=dict(
            hidden_size=width,
            image_size=image_size,
            patch_size=patch_size,
            image_embedding_size=image_size // patch_size,
            mask_input_channels=head['mask_in_channels'],
        ),
        mask_decoder_config=dict(
            hidden_size=width,
            num_attention_heads=head['num_heads'],
            num_hidden_layers=head['num_layers'],
            attention_downsample_rate=width // inner,
            mlp_dim=head['mlp_dims'],
            iou_head_hidden_dim=shapes[rating][0],
        ),
    )
