"""What is asked, and the pipeline that images pass before the model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from mmseg.structures import SegDataSample
from torch import Tensor

from mmdit.datasets.pipeline import NEED_A_DATASET, find_pipeline
from mmdit.datasets.transforms import PackReferSegInputs
from mmdit.registry import TRANSFORMS

from .asking import Expressions, share_out
from .prompts import Prompts, deal_out
from .results import make_prediction
from .streaming import explain_size

# An expression or None, and what is shown beside it.
Question = tuple[str | None, Prompts]


@dataclass
class Picture:
    """An image that has passed the pipeline."""

    #: Its path, or its place in the list of images.
    name: str | int
    #: (H, W, 3) uint8, BGR.
    pixels: np.ndarray
    #: (3, h, w), what the pipeline made of the pixels.
    inputs: Tensor
    #: The pipeline's data sample, without an expression.
    sample: SegDataSample


@dataclass
class Item:
    """One question: an expression or prompts, or both, about a picture."""

    picture: Picture
    expression: str | None
    prompts: Prompts = Prompts()

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return self.expression or str(self.prompts)

    def pack(self) -> dict:
        """Return what a data set would give the model."""
        sample = self.picture.sample.clone()
        expression = self.expression
        if expression is not None:
            # As the data sets spell it.
            expression = expression.strip().lower()
        sample.set_metainfo(dict(expression=expression))
        self.prompts.add_to(sample)
        return dict(inputs=self.picture.inputs, data_samples=sample)


def make_questions(
    expressions: Expressions,
    number: int,
    reads_text: bool,
    points: Any = None,
    boxes: Any = None,
    masks: Any = None,
) -> list[list[Question]]:
    """Return the questions about each image; each must ask something.

    Args:
        expressions: As of :func:`share_out`, for ``number`` images.
        number: How many images there are.
        reads_text: Whether the model has a text encoder.
        points: As of :func:`deal_out`.
        boxes: Likewise.
        masks: Likewise.
    """
    shared = share_out(expressions, number)
    prompts = iter(deal_out(sum(map(len, shared)), points, boxes, masks))
    questions = [[(e, next(prompts)) for e in entry] for entry in shared]
    for expression, given in (q for entry in questions for q in entry):
        if expression is None and not given:
            raise ValueError(
                'a question has neither an expression nor points, a box or a '
                'mask; give one of them'
            )
        if expression is not None and not reads_text:
            raise ValueError(
                f'this model reads no text, but is asked {expression!r}; give '
                'it points, boxes or masks only, or take a model with a text '
                'encoder'
            )
    return questions


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


def make_picture(
    name: str | int, pixels: np.ndarray, pipeline: Callable[[dict], dict]
) -> Picture:
    """Send (H, W, 3) BGR pixels through a pipeline."""
    size = pixels.shape[:2]
    given = dict(
        img=pixels, img_path=str(name), img_shape=size, ori_shape=size
    )
    try:
        packed = pipeline(given)
    # Whatever a transform, OpenCV or Pillow comes up with.
    except Exception as error:
        raise explain_size(name, pixels, error) from error
    return Picture(name, pixels, packed['inputs'], packed['data_samples'])


def describe(
    item: Item,
    sample: SegDataSample,
    threshold: float,
    keep_probabilities: bool,
) -> dict:
    """Describe a data sample, and let its mask follow the threshold."""
    probabilities = sample.seg_logits.data
    sample.pred_sem_seg.data = (probabilities > threshold).to(probabilities)
    row = make_prediction(
        item.picture.name,
        item.expression,
        probabilities[0].numpy(),
        threshold,
    )
    if keep_probabilities:
        row['probabilities'] = probabilities[0].numpy()
    masks = sample.pred_masks
    best = masks.scores.argmax()
    row['predicted_iou'] = float(masks.scores[best])
    row['low_res_logits'] = masks.low_res_logits[best][None].numpy()
    if 'raw_logits' in sample:
        row['logits'] = sample.raw_logits.data[0].numpy()
    return row
