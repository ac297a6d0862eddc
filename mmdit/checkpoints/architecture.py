"""Read a model's sizes off the names and shapes of its weights."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

LAYERS = 'decode_head.mask_decoder.transformer.layers.'
INJECTOR = 'backbone.text_injector.'
# All published sizes have this decoder; its heads leave no trace in shapes.
DECODER_WIDTH, DECODER_HEADS = 256, 8
SAM_WINDOW = 14
# What only this injector has, the most particular first. E-DIT shares its
# names and shapes with L-DIT.
INJECTORS = {
    'layers.': 'LayerwiseCrossAttentionFFN',
    'attentions.': 'LayerwiseCrossAttention',
    'projections.': 'LayerwiseProjection',
    'projection.': 'EndToEndToken',
    'offsets': 'LayerwiseToken',
}


class _Shapes(dict):
    """Shapes by name."""

    def __missing__(self, key: str) -> tuple:
        raise KeyError(f'these weights are not a whole SAM: {key} is missing')


def read_shapes(state_dict: Mapping[str, Tensor]) -> Mapping[str, tuple]:
    """Return shapes by name; one that is missing is an error that says so."""
    return _Shapes({k: tuple(v.shape) for k, v in state_dict.items()})


def read_backbone(shapes: Mapping[str, tuple]) -> dict[str, Any]:
    """Read the arguments of ``SAMViT``.

    The relative tables tell most: (2 * side - 1, width of a head), where
    side is that of the window or, in global blocks, of the whole grid.

    Args:
        shapes: Of mmdit's names.
    """
    width, channels, patch_size = shapes['backbone.patch_embed.proj.weight'][
        :3
    ]
    grid = shapes['backbone.pos_embed'][1]
    depth = count_layers(shapes, 'backbone.blocks.')
    tables = [
        shapes[f'backbone.blocks.{i}.attn.rel_pos_h'] for i in range(depth)
    ]
    windows = {(size + 1) // 2 for size, _ in tables} - {grid}
    if len(windows) > 1:
        raise ValueError(
            f'blocks with windows of several sizes {sorted(windows)}; SAM has '
            'one size'
        )
    return dict(
        arch=dict(
            embed_dims=width,
            depth=depth,
            num_heads=width // tables[0][1],
            global_attn_indexes=tuple(
                i for i, (size, _) in enumerate(tables) if size == 2 * grid - 1
            ),
        ),
        patch_size=patch_size,
        img_size=grid * patch_size,
        window_size=windows.pop() if windows else SAM_WINDOW,
        mlp_ratio=shapes['backbone.blocks.0.mlp.lin1.weight'][0] / width,
        in_channels=channels,
        out_channels=shapes['backbone.neck.0.weight'][0],
    )


def read_head(shapes: Mapping[str, tuple]) -> dict[str, Any]:
    """Read the arguments of ``SAMMaskHead``."""
    width = shapes['decode_head.mask_decoder.iou_token.weight'][1]
    if width != DECODER_WIDTH:
        raise ValueError(
            f'a mask decoder of width {width} is none of the published ones '
            f'({DECODER_WIDTH}), and the number of its heads leaves no trace '
            'in the weights; give the config of the model (--hf-config for a '
            'SamModel)'
        )
    masks = shapes['decode_head.prompt_encoder.mask_downscaling.3.weight']
    return dict(
        embed_dims=width,
        num_layers=count_layers(shapes, LAYERS),
        num_heads=DECODER_HEADS,
        mlp_dims=shapes[f'{LAYERS}0.mlp.lin1.weight'][0],
        mask_in_channels=masks[0],
    )


def read_injector(shapes: Mapping[str, tuple]) -> dict[str, Any] | None:
    """Read the config of the text injector, None without one."""
    names = [
        key.removeprefix(INJECTOR)
        for key in shapes
        if key.startswith(INJECTOR)
    ]
    for prefix, kind in INJECTORS.items():
        if any(name.startswith(prefix) for name in names):
            tokens = f'{INJECTOR}offsets'
            more = {}
            if tokens in shapes:
                more = dict(num_tokens=shapes[tokens][1])
            return dict(type=kind, **more)
    return None


def count_layers(keys: Iterable[str], prefix: str) -> int:
    """Count the layers below ``prefix``."""
    return len(
        {
            key.removeprefix(prefix).split('.')[0]
            for key in keys
            if key.startswith(prefix)
        }
    )
