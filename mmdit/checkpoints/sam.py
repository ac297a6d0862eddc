"""Meta's original ``sam_vit_{b,l,h}_*.pth``."""

from pathlib import Path

import torch
from torch import Tensor, nn

from mmdit.registry import WEIGHT_INITIALIZERS

from .strict import find_mismatches

SAM_PREFIXES = {
    'image_encoder.': 'backbone.',
    'prompt_encoder.': 'decode_head.prompt_encoder.',
    'mask_decoder.': 'decode_head.mask_decoder.',
}
# What the paper adds to SAM: it starts from its own initialisation.
ADDED_PREFIXES = (
    'text_encoder.',
    'backbone.text_injector.',
    'decode_head.text_proj.',
    'data_preprocessor.',
)


def load_weights(source: str) -> dict[str, Tensor]:
    """Read a state dict from a file or URL, with ``weights_only=True``."""
    if source.startswith(('http://', 'https://')):
        return torch.hub.load_state_dict_from_url(
            source, map_location='cpu', weights_only=True
        )
    if not Path(source).is_file():
        raise FileNotFoundError(
            f'checkpoint {source!r} does not exist; download it from '
            'https://github.com/facebookresearch/segment-anything'
            '#model-checkpoints or give its URL'
        )
    return torch.load(source, map_location='cpu', weights_only=True)


def rename_sam(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename SAM's keys to those of :class:`ReferringSegmentor`."""
    renamed = {}
    for key, value in state_dict.items():
        for old, new in SAM_PREFIXES.items():
            if key.startswith(old):
                renamed[new + key.removeprefix(old)] = value
                break
        else:
            raise KeyError(
                f'unknown key {key!r} in a SAM checkpoint; known prefixes: '
                f'{", ".join(SAM_PREFIXES)}'
            )
    return renamed


@WEIGHT_INITIALIZERS.register_module()
class SAMPretrained:
    """Fill a segmentor with SAM's weights, strictly, by prefix.

    Every key of the file must find its place and every parameter that is not
    added by the paper must be filled; decoder layers beyond SAM's two are
    added ones.

    Args:
        checkpoint: Path or URL of ``sam_vit_{b,l,h}_*.pth``.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into a :class:`ReferringSegmentor`."""
        given = rename_sam(load_weights(self.checkpoint))
        layers = 'decode_head.mask_decoder.transformer.layers.'
        expected = module.state_dict()
        in_file = {k.split('.')[4] for k in given if k.startswith(layers)}
        extra = {
            f'{layers}{k.split(".")[4]}.'
            for k in expected
            if k.startswith(layers) and k.split('.')[4] not in in_file
        }
        lines = find_mismatches(expected, given, (*ADDED_PREFIXES, *extra))
        if lines:
            raise ValueError(
                f'{self.checkpoint} does not fit this model; choose arch of '
                'SAMViT (base, large, huge) to match the checkpoint '
                '(sam_vit_b, _l, _h):\n  ' + '\n  '.join(lines)
            )
        with torch.no_grad():
            for key, value in given.items():
                expected[key].copy_(value)
