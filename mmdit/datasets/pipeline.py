"""The pipeline of a data set, as its config describes it."""

from collections.abc import Callable
from typing import Any

from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from mmdit.registry import TRANSFORMS

from .transforms import LoadReferMask, PackReferSegInputs, SamplePrompts

# They read a data set's files, or ground truth.
NEED_A_DATASET = (
    LoadImageFromFile,
    LoadAnnotations,
    LoadReferMask,
    SamplePrompts,
)


def find_pipeline(dataset: Any) -> list[dict]:
    """Return the pipeline of a data set's config, wrapped or not."""
    while 'pipeline' not in dataset:
        inner = dataset.get('dataset') or dataset.get('datasets', [None])[0]
        if not isinstance(inner, dict):
            raise ValueError(
                'test_dataloader.dataset has no pipeline, which says how '
                'images enter the model; add one to the config'
            )
        dataset = inner
    return dataset['pipeline']


def build_pipeline(dataset: Any) -> Callable[[dict], dict]:
    """Build a data set's pipeline, without what reads the data set's files.

    Args:
        dataset: Config of the data set.

    Returns:
        What turns an item with ``img`` into ``inputs`` and ``data_samples``.
    """
    steps = [TRANSFORMS.build(step) for step in find_pipeline(dataset)]
    return Compose(
        [
            PackReferSegInputs(('img_path', 'ori_shape', 'img_shape'))
            if isinstance(step, PackReferSegInputs)
            else step
            for step in steps
            if not isinstance(step, NEED_A_DATASET)
        ]
    )


def image_steps(cfg: Any) -> list[object]:
    """Return what changes images in the test pipeline of a config, if any."""
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}
    dataset = loader.get('dataset')
    if not isinstance(dataset, dict) or 'type' not in dataset:
        return []
    with DefaultScope.overwrite_default_scope('mmdit'):
        steps = [TRANSFORMS.build(step) for step in find_pipeline(dataset)]
    left_out = (*NEED_A_DATASET, PackReferSegInputs)
    return [step for step in steps if not isinstance(step, left_out)]
