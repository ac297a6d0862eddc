"""A visitor's image and the predictions for it.

Plain functions from session to session; the model runs in here and nowhere
else. Shapes: an image of H x W pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdit.runtime.images import MAX_PIXELS, read_image
from mmdit.runtime.results import make_prediction

if TYPE_CHECKING:
    from mmdit.apis import ReferringSegInferencer

# As many as there are colors that can be told apart.
MAX_EXPRESSIONS = 10
# x, y in pixels of the image; 1 inside the mask, 0 outside.
Point = tuple[float, float, int]
# Left, top, right, bottom.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Prediction:
    """The mask of an expression, points or a box."""

    #: What the legend calls it.
    name: str
    #: None where points or a box stand alone.
    expression: str | None
    #: (H, W) float32, of the chosen mask; None in predictions before the last.
    probabilities: np.ndarray | None
    #: MMSegmentation's, with sizes and ``pred_masks``: logits and scores.
    sample: Any
    #: Which of the head's masks it is.
    chosen: int
    points: tuple[Point, ...] = ()
    box: Box | None = None
    #: The prediction that undoing leads to.
    before: 'Prediction | None' = None
    #: As of ``Wording.read``.
    unread: dict[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> list[float]:
        """The head's rating of each of its masks."""
        return self.sample.pred_masks.scores.tolist()

    @property
    def logits(self) -> np.ndarray:
        """(1, 4H', 4W') logits of the chosen mask on the grid H' x W'."""
        logits = self.sample.pred_masks.low_res_masks
        return logits[self.chosen][None].numpy()

    def history(self) -> Iterator['Prediction']:
        """Yield this prediction and those before it."""
        prediction: Prediction | None = self
        while prediction is not None:
            yield prediction
            prediction = prediction.before


@dataclass(frozen=True)
class Session:
    """An image and the predictions for it."""

    name: str
    #: (H, W, 3) uint8, BGR.
    pixels: np.ndarray
    predictions: tuple[Prediction, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        arrays = [self.pixels]
        for prediction in self.predictions:
            for step in prediction.history():
                arrays.append(step.sample.pred_masks.low_res_masks)
                if step.probabilities is not None:
                    arrays.append(step.probabilities)
        return sum(array.nbytes for array in arrays)

    def find(self, name: str | None) -> int:
        """Return the place of a prediction."""
        for i, prediction in enumerate(self.predictions):
            if prediction.name == name:
                return i
        raise ValueError(
            'Points and boxes refine a prediction: type an expression and '
            'press Find first, then select it.'
        )

    def put(self, place: int, *predictions: Prediction) -> 'Session':
        """Return a session with some predictions, or none, for one."""
        old = self.predictions
        return replace(
            self, predictions=(*old[:place], *predictions, *old[place + 1 :])
        )


def open_image(path: str, name: str, max_pixels: int = MAX_PIXELS) -> Session:
    """Begin a session with a file.

    Args:
        path: The file.
        name: What its owner calls it, also in errors.
        max_pixels: The largest image to read, in pixels.
    """
    try:
        return Session(name, read_image(path, max_pixels=max_pixels))
    except (OSError, ValueError) as error:
        # Where an upload lies is of no use to the one who sent it.
        raise ValueError(str(error).replace(path, name)) from error


def read_expressions(text: str | None) -> list[str]:
    """Return the expressions of a text, one per line, each once."""
    if not isinstance(text, str | None):
        raise ValueError('The expressions are not text: type them again.')
    lines = [' '.join(line.split()) for line in (text or '').splitlines()]
    expressions = list(dict.fromkeys(line for line in lines if line))
    if not expressions:
        raise ValueError(
            'There is no expression. Type one, such as: the red star on the '
            'left.'
        )
    if len(expressions) > MAX_EXPRESSIONS:
        raise ValueError(
            f'These are {len(expressions)} expressions; at most '
            f'{MAX_EXPRESSIONS} are shown at a time, because more colors '
            'cannot be told apart.'
        )
    return expressions


def query(
    session: Session, text: str | None, model: 'ReferringSegInferencer'
) -> Session:
    """Predict for each line of a text; earlier predictions are kept."""
    expressions = read_expressions(text)
    shown = [p for p in session.predictions if p.expression is None]
    known = {
        p.name: p for p in session.predictions if p.expression is not None
    }
    new = [e for e in expressions if e not in known]
    if new:
        samples = model(session.pixels, new, return_datasamples=True)
        for expression, sample in zip(
            new, samples['predictions'], strict=True
        ):
            known[expression] = _keep(model, expression, expression, sample)
    predictions = (*(known[e] for e in expressions), *shown)
    return replace(session, predictions=predictions[:MAX_EXPRESSIONS])


def add_point(
    session: Session,
    name: str | None,
    point: Point,
    model: 'ReferringSegInferencer',
) -> Session:
    """Refine a prediction by a point, or begin one.

    As SAM was trained, the model sees all points so far and the last mask.
    """
    return _show(session, name, model, point=point)


def set_box(
    session: Session,
    name: str | None,
    box: Box,
    model: 'ReferringSegInferencer',
) -> Session:
    """Refine a prediction by a box, which replaces another, or begin one."""
    return _show(session, name, model, box=box)


def choose(
    session: Session,
    name: str | None,
    index: int,
    model: 'ReferringSegInferencer',
) -> Session:
    """Take another one of the head's masks; the model does not run."""
    place = session.find(name)
    old = session.predictions[place]
    if type(index) is not int or not 0 <= index < len(old.scores):
        raise ValueError(f'“{old.name}” has no mask of this number.')
    found = _restore(old.sample, index, model)
    new = replace(old, chosen=index, probabilities=found)
    return session.put(place, new)


def undo(
    session: Session, name: str | None, model: 'ReferringSegInferencer'
) -> Session:
    """Return to the prediction before the last point or box.

    What began with these is gone where none is left.
    """
    place = session.find(name)
    old = session.predictions[place]
    if old.before is None:
        if old.expression is None:
            return session.put(place)
        raise ValueError(f'“{old.name}” has no points to take back.')
    return session.put(place, _wake(old.before, model))


def clear(
    session: Session, name: str | None, model: 'ReferringSegInferencer'
) -> Session:
    """Return to the prediction of the text alone, if there is text."""
    place = session.find(name)
    *_, first = session.predictions[place].history()
    if first.expression is None:
        return session.put(place)
    return session.put(place, _wake(first, model))


def predict(session: Session, threshold: float) -> list[dict]:
    """Describe the predictions at a threshold; the model does not run.

    Returns:
        Dicts as of :func:`mmdit.apis.make_prediction`, with
        ``point_coords``, ``point_labels`` and ``prompt_box`` where there are
        any.
    """
    rows = []
    for prediction in session.predictions:
        assert prediction.probabilities is not None
        row = make_prediction(
            session.name,
            prediction.expression,
            prediction.probabilities,
            threshold,
        )
        row |= prediction.unread
        if prediction.points:
            row['point_coords'] = [point[:2] for point in prediction.points]
            row['point_labels'] = [point[2] for point in prediction.points]
        if prediction.box is not None:
            row['prompt_box'] = list(prediction.box)
        rows.append(row)
    return rows


def bytes_needed(session: Session, number: int) -> int:
    """Return the memory that a number of predictions will take, about."""
    pixels = session.pixels.shape[0] * session.pixels.shape[1]
    per_mask = pixels * np.dtype(np.float32).itemsize
    return session.pixels.nbytes + number * per_mask


def _show(
    session: Session,
    name: str | None,
    model: 'ReferringSegInferencer',
    point: Point | None = None,
    box: Box | None = None,
) -> Session:
    """Run a query again with one more prompt, or begin one."""
    if name is None and prompts_suffice(model):
        place, old = len(session.predictions), None
        if place == MAX_EXPRESSIONS:
            raise ValueError(
                f'There are {place} masks; more colors cannot be told apart. '
                'Undo one, or drop the image again.'
            )
        name, expression = _new_name(session), None
        points: tuple[Point, ...] = ()
    else:
        place = session.find(name)
        old = session.predictions[place]
        name, expression, points = old.name, old.expression, old.points
        box = box or old.box
    if point is not None:
        points = (*points, point)
    (sample,) = model(
        session.pixels,
        [expression],
        point_coords=[[point[:2] for point in points] or None],
        point_labels=[[point[2] for point in points] or None],
        box=[box],
        mask_input=[None if old is None else old.logits],
        return_datasamples=True,
    )['predictions']
    before = None if old is None else replace(old, probabilities=None)
    new = _keep(model, name, expression, sample, points, box, before)
    return session.put(place, new)


def prompts_suffice(model: 'ReferringSegInferencer') -> bool:
    """Tell whether a model takes points and boxes without text."""
    return model.model.text_encoder is None or bool(model.model.train_points)


def _new_name(session: Session) -> str:
    """Return a name that no prediction has."""
    names = {prediction.name for prediction in session.predictions}
    number = 1
    while (name := f'Object {number}') in names:
        number += 1
    return name


def _keep(
    model: 'ReferringSegInferencer',
    name: str,
    expression: str | None,
    sample: Any,
    *shown: Any,
) -> Prediction:
    """Make a prediction of a data sample; keep what is small of it."""
    masks = sample.pred_masks
    chosen = int(masks.scores.argmax())
    probabilities = sample.seg_logits.data[0].numpy()
    del sample.seg_logits, sample.pred_sem_seg, masks.masks
    unread = model.wording.read(expression)
    given = name, expression, probabilities, sample, chosen, *shown
    return replace(Prediction(*given), unread=unread)


def _wake(
    prediction: Prediction, model: 'ReferringSegInferencer'
) -> Prediction:
    """Compute the probabilities of an earlier prediction again."""
    if prediction.probabilities is not None:
        return prediction
    found = _restore(prediction.sample, prediction.chosen, model)
    return replace(prediction, probabilities=found)


def _restore(
    sample: Any, index: int, model: 'ReferringSegInferencer'
) -> np.ndarray:
    """Return the (H, W) probabilities of one of the head's masks."""
    import torch

    logits = sample.pred_masks.low_res_masks[index][None]
    with torch.no_grad():
        return model.model.restore(logits, sample).sigmoid()[0].numpy()
