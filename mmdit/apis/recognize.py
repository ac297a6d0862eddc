"""From a file of weights alone to the config that computes it.

Names tell whose file it is, shapes tell sizes, and a config of this project
says what neither shows: how its owner computes it.
"""

from collections.abc import Mapping

from mmengine.config import Config, ConfigDict
from torch import Tensor

from mmdit.checkpoints.architecture import (
    read_backbone,
    read_head,
    read_injector,
    read_shapes,
)
from mmdit.checkpoints.sources import SOURCES, to_mmdit
from mmdit.models.backbones.archs import ARCHS
from mmdit.resources import resolve_config

#: How the owners of a kind of files compute them.
CONFIGS = {
    'dit': 'ldit-release_sam-vit-b_4xb16-cosine-40e_refcoco-512x512',
    'sam': 'sam_sam-vit-b_1024x1024',
    'hf-sam': 'sam_sam-vit-b_1024x1024',
}
# By the word that chooses one where names and shapes fit both.
INJECTORS = {'ldit': 'LayerwiseProjection', 'edit': 'EndToEndProjection'}


def make_config(
    state_dict: Mapping[str, Tensor], injector: str | None = None
) -> tuple[Config, str]:
    """Return the config of a model and a line that describes it.

    Args:
        state_dict: Weights of any known kind; shapes are enough.
        injector: ``'ldit'`` or ``'edit'``, whose names and shapes are the
            same. None takes L-DIT, and the line says so.

    Raises:
        KeyError: The kind is unknown, or the weights are not a whole model.
        ValueError: Weights alone do not tell the config.
    """
    source, renamed = to_mmdit(state_dict)
    title = SOURCES[source].title
    if source not in CONFIGS:
        known = ', '.join(SOURCES[name].title for name in CONFIGS)
        raise ValueError(
            f'these weights are {title}, which needs its config or its '
            f'folder, too; weights alone suffice for {known}'
        )
    shapes = read_shapes(renamed.state_dict)
    cfg = Config.fromfile(resolve_config(CONFIGS[source]))
    backbone, head = read_backbone(shapes), read_head(shapes)
    names = {tuple(sorted(v.items())): k for k, v in ARCHS.items()}
    arch = names.get(tuple(sorted(backbone['arch'].items())))
    cfg.model.backbone.update(backbone, arch=arch or backbone['arch'])
    cfg.model.backbone.with_cp = False
    cfg.model.decode_head.update(head)
    cfg.model.init_cfg = None
    parts = [title, f'ViT {arch or backbone["arch"]}']
    if source == 'dit':
        parts += [
            _set_injector(cfg.model, shapes, injector),
            f'{head["num_layers"]} decoder layers',
            f"text from BERT's layer {cfg.model.text_encoder.num_layers}",
        ]
    return cfg, ', '.join(parts)


def _set_injector(
    model: ConfigDict, shapes: Mapping[str, tuple], word: str | None
) -> str:
    """Put the injector of a DIT file into its config; describe it."""
    found = read_injector(shapes)
    is_shared = found is not None and found['type'] == INJECTORS['ldit']
    if word is not None:
        if word not in INJECTORS:
            raise ValueError(
                f'injector is {word!r}, expected {" or ".join(INJECTORS)}'
            )
        if not is_shared:
            name = found['type'] if found else 'none'
            raise ValueError(
                f'injector {word!r} has no effect: the weights are those of '
                f'another one ({name}); leave it out'
            )
        assert found is not None
        found = dict(type=INJECTORS[word])
    model.backbone.text_injector = found
    if found is None:
        return 'text in the decoder only'
    # Static tokens are as many as the text has.
    model.text_encoder.max_tokens = found.get(
        'num_tokens', model.text_encoder.max_tokens
    )
    if is_shared and word is None:
        return 'L-DIT (E-DIT has the same names and shapes: injector=edit)'
    return found['type']
