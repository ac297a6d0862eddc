"""Settings of a model that travel with its weights."""

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner

from mmdit.checkpoints.settings import (
    KEY,
    TRAINED_ON,
    compare_settings,
    describe_settings,
    recorded_settings,
)
from mmdit.datasets.pipeline import image_steps
from mmdit.models.text_encoders.saving import save_text_encoder
from mmdit.registry import HOOKS


@HOOKS.register_module()
class SettingsHook(Hook):
    """Record the model's settings in checkpoints, and compare on loading.

    ``trained_on`` of the config, a few words, is recorded with them.

    A test with weights that were trained in other settings is an error, and
    so is training from them with another injector; training with any other
    difference warns. ``allow_other_settings=True`` of the config warns only.
    What a text encoder reads is kept in the work dir.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the record to ``meta``."""
        record = _describe(runner)
        if trained_on := runner.cfg.get(TRAINED_ON):
            record[TRAINED_ON] = str(trained_on)
        checkpoint['meta'][KEY] = record

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the record until the weights turn out to fit."""
        self._loaded = recorded_settings(checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Compare before training starts or goes on."""
        self._compare(runner, trains_on=True)
        if is_main_process():
            encoder = getattr(_unwrap(runner), 'text_encoder', None)
            save_text_encoder(encoder, Path(runner.work_dir))

    def before_val(self, runner: Runner) -> None:
        """Compare, unless training has done so."""
        self._compare(runner, trains_on=False)

    before_test = before_val

    def _compare(self, runner: Runner, trains_on: bool) -> None:
        recorded, self._loaded = self._loaded, {}
        if recorded:
            compare_settings(
                recorded,
                _describe(runner),
                trains_on=trains_on,
                allowed=runner.cfg.get('allow_other_settings', False),
            )


def _describe(runner: Runner) -> dict[str, Any]:
    """Describe the model of a Runner, and its test pipeline."""
    return describe_settings(_unwrap(runner), image_steps(runner.cfg))


def _unwrap(runner: Runner) -> Any:
    """Return the model without DDP and test-time augmentation."""
    model: Any = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
