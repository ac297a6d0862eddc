"""Write SAM as a directory that ``transformers.SamModel`` opens."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .strict import find_mismatches

ENCODER = 'vision_encoder.'
LAYERS = f'{ENCODER}layers.'
DECODER_LAYERS = 'mask_decoder.transformer.layers.'
# All published sizes have this decoder; its heads leave no trace in shapes.
DECODER_WIDTH, DECODER_HEADS = 256, 8
SAM_WINDOW = 14


def make_hf_config(
    state_dict: dict[str, Tensor], hf_config: str | None = None
) -> Any:
    """Make a ``SamConfig`` and check that it describes ``state_dict``.

    Args:
        state_dict: Tensors by the names of ``SamModel``.
        hf_config: File or directory with a config to use instead of one that
            is read off the shapes.
    """
    try:
        from transformers import SamConfig, SamModel
    except ImportError as error:
        raise ImportError(
            "a directory for SamModel needs 'transformers'; run: pip install "
            'mmdit[bert]'
        ) from error
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


class _Shapes(dict):
    """Shapes by name."""

    def __missing__(self, key: str) -> tuple:
        raise KeyError(f'these weights are no whole SAM: {key} is missing')


def derive_config(state_dict: dict[str, Tensor]) -> dict[str, dict]:
    """Read the arguments of ``SamConfig`` off the shapes."""
    shapes = _Shapes({k: tuple(v.shape) for k, v in state_dict.items()})
    width = shapes['mask_decoder.iou_token.weight'][1]
    if width != DECODER_WIDTH:
        raise ValueError(
            f'a mask decoder of width {width} is none of the published ones '
            f'({DECODER_WIDTH}), and the number of its heads leaves no trace '
            'in the weights; give --hf-config, the config.json of a SamModel'
        )
    vision = _derive_vision(shapes)
    image_size, patch_size = vision['image_size'], vision['patch_size']
    layer = f'{DECODER_LAYERS}0.'
    inner = shapes[f'{layer}cross_attn_token_to_image.q_proj.weight'][0]
    return dict(
        vision_config=vision,
        prompt_encoder_config=dict(
            hidden_size=width,
            image_size=image_size,
            patch_size=patch_size,
            image_embedding_size=image_size // patch_size,
            mask_input_channels=shapes[
                'prompt_encoder.mask_embed.conv2.weight'
            ][0],
        ),
        mask_decoder_config=dict(
            hidden_size=width,
            num_attention_heads=DECODER_HEADS,
            num_hidden_layers=_count(shapes, DECODER_LAYERS),
            attention_downsample_rate=width // inner,
            mlp_dim=shapes[f'{layer}mlp.lin1.weight'][0],
            iou_head_hidden_dim=shapes[
                'mask_decoder.iou_prediction_head.proj_in.weight'
            ][0],
        ),
    )


def _derive_vision(shapes: dict[str, tuple]) -> dict[str, Any]:
    """Read the arguments of ``SamVisionConfig`` off the shapes.

    The relative tables tell most: (2 * side - 1, width of a head), where
    side is that of the window or, in global blocks, of the whole grid.
    """
    width, channels, patch_size = shapes[
        f'{ENCODER}patch_embed.projection.weight'
    ][:3]
    grid = shapes[f'{ENCODER}pos_embed'][1]
    depth = _count(shapes, LAYERS)
    tables = [shapes[f'{LAYERS}{i}.attn.rel_pos_h'] for i in range(depth)]
    windows = {(size + 1) // 2 for size, _ in tables} - {grid}
    if len(windows) > 1:
        raise ValueError(
            f'blocks with windows of several sizes {sorted(windows)}; '
            'SamModel has one size'
        )
    mlp_dims = shapes[f'{LAYERS}0.mlp.lin1.weight'][0]
    return dict(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=width // tables[0][1],
        num_channels=channels,
        patch_size=patch_size,
        image_size=grid * patch_size,
        window_size=windows.pop() if windows else SAM_WINDOW,
        global_attn_indexes=[
            i for i, (size, _) in enumerate(tables) if size == 2 * grid - 1
        ],
        mlp_dim=mlp_dims,
        mlp_ratio=mlp_dims / width,
        output_channels=shapes[f'{ENCODER}neck.conv1.weight'][0],
        num_pos_feats=shapes['shared_image_embedding.positional_embedding'][1],
    )


def _count(shapes: dict[str, tuple], prefix: str) -> int:
    """Count the layers below ``prefix``."""
    return len(
        {
            key.removeprefix(prefix).split('.')[0]
            for key in shapes
            if key.startswith(prefix)
        }
    )
