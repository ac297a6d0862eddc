"""Fill a model with weights, or say why they do not belong to it."""

from typing import Any

from mmengine.model import BaseModel

from mmdit.datasets.pipeline import image_steps

from .files import read_checkpoint
from .settings import (
    PUBLISHED,
    TRAINED_ON,
    compare_settings,
    describe_settings,
    recorded_data,
    recorded_settings,
)


def load_weights(
    model: BaseModel,
    cfg: Any,
    weights: str | None,
    allow_other_settings: bool = False,
) -> None:
    """Fill a model, strictly; random weights are never left in silence.

    What the weights were trained on becomes ``model.trained_on``.

    Args:
        model: Built from ``cfg.model``.
        cfg: The config.
        weights: Whatever ``docs/checkpoints.md`` lists, or None, which serves
            models without text only: SAM's own weights, of ``init_cfg``, fill
            these.
        allow_other_settings: Only warn where the model has other settings than
            the one that the weights were trained in; ``cfg`` may say so too.
    """
    if weights is not None:
        checkpoint = read_checkpoint(weights)
        model.load_state_dict(checkpoint['state_dict'])
        model.trained_on = recorded_data(checkpoint) or cfg.get(TRAINED_ON)
        compare_settings(
            recorded_settings(checkpoint),
            describe_settings(model, image_steps(cfg)),
            allowed=allow_other_settings
            or cfg.get('allow_other_settings', False),
        )
        return
    init_cfg = cfg.model.get('init_cfg') or {}
    is_sam = str(init_cfg.get('type', '')).endswith('SAMPretrained')
    if not is_sam or cfg.model.get('text_encoder') is not None:
        raise ValueError(
            'no weights: predictions of this model would be random. Give a '
            'checkpoint, weights=..., or set load_from in the config'
        )
    model.init_weights()
    model.trained_on = PUBLISHED['sam']
