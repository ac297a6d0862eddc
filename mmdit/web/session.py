"""What a visitor has asked about a picture, and what the model answered.

Plain functions from session to session; the model is asked in here and
nowhere else. Shapes: a picture of H x W pixels.
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
# x, y in pixels of the picture; 1 inside the mask, 0 outside.
Point = tuple[float, float, int]
# Left, top, right, bottom.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Answer:
    """What was found for an expression, points or a box."""

    #: What the legend calls it.
    name: str
    #: None where points or a box stand alone.
    expression: str | None
    #: (H, W) float32, of the chosen mask; None in answers before the last.
    probabilities: np.ndarray | None
    #: MMSegmentation's, with sizes and ``pred_masks``: logits and scores.
    sample: Any
    #: Which of the head's masks it is.
    chosen: int
    points: tuple[Point, ...] = ()
    box: Box | None = None
    #: The answer that undoing leads to.
    before: 'Answer | None' = None
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

    def history(self) -> Iterator['Answer']:
        """Yield this answer and those before it."""
        answer: Answer | None = self
        while answer is not None:
            yield answer
            answer = answer.before


@dataclass(frozen=True)
class Session:
    """A picture and the answers about it."""

    name: str
    #: (H, W, 3) uint8, BGR.
    pixels: np.ndarray
    answers: tuple[Answer, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        arrays = [self.pixels]
        for answer in self.answers:
            for step in answer.history():
                arrays.append(step.sample.pred_masks.low_res_masks)
                if step.probabilities is not None:
                    arrays.append(step.probabilities)
        return sum(array.nbytes for array in arrays)

    def find(self, name: str | None) -> int:
        """Return the place of an answer."""
        for i, answer in enumerate(self.answers):
            if answer.name == name:
                return i
        raise ValueError(
            'Points and boxes correct an answer: type an expression and press '
            'Find first, then select it.'
        )

    def put(self, place: int, *answers: Answer) -> 'Session':
        """Return a session with other answers, or none, in place of one."""
        old = self.answers
        return replace(
            self, answers=(*old[:place], *answers, *old[place + 1 :])
        )


def open_picture(
    path: str, name: str, max_pixels: int = MAX_PIXELS
) -> Session:
    """Begin a session with a file.

    Args:
        path: The file.
        name: What its owner calls it, also in errors.
        max_pixels: The largest picture to read, in pixels.
    """
    try:
        return Session(name, read_image(path, max_pixels=max_pixels))
    except (OSError, ValueError) as error:
        # Where an upload lies is of no use to the one who sent it.
        raise ValueError(str(error).replace(path, name)) from error


def read_expressions(text: str | None) -> list[str]:
    """Return the expressions of a text, one per line, each once."""
    if not isinstance(text, str | None):
        raise ValueError('The expressions are no text: type them again.')
    lines = [' '.join(line.split()) for line in (text or '').splitlines()]
    expressions = list(dict.fromkeys(line for line in lines if line))
    if not expressions:
        raise ValueError(
            'There is no expression. Type what to look for, such as: the red '
            'star on the left.'
        )
    if len(expressions) > MAX_EXPRESSIONS:
        raise ValueError(
            f'These are {len(expressions)} expressions; at most '
            f'{MAX_EXPRESSIONS} are shown at a time, because more colors '
            'cannot be told apart.'
        )
    return expressions


def ask(
    session: Session, text: str | None, model: 'ReferringSegInferencer'
) -> Session:
    """Answer the expressions of a text; those answered before are kept."""
    expressions = read_expressions(text)
    shown = [a for a in session.answers if a.expression is None]
    known = {a.name: a for a in session.answers if a.expression is not None}
    new = [e for e in expressions if e not in known]
    if new:
        samples = model(session.pixels, new, return_datasamples=True)
        for expression, sample in zip(
            new, samples['predictions'], strict=True
        ):
            known[expression] = _answer(model, expression, expression, sample)
    answers = (*(known[e] for e in expressions), *shown)
    return replace(session, answers=answers[:MAX_EXPRESSIONS])


def add_point(
    session: Session,
    name: str | None,
    point: Point,
    model: 'ReferringSegInferencer',
) -> Session:
    """Correct an answer by a point, or begin one.

    As SAM was trained, the model sees all points so far and the last mask.
    """
    return _show(session, name, model, point=point)


def set_box(
    session: Session,
    name: str | None,
    box: Box,
    model: 'ReferringSegInferencer',
) -> Session:
    """Correct an answer by a box, in place of an earlier one, or begin one."""
    return _show(session, name, model, box=box)


def choose(
    session: Session,
    name: str | None,
    index: int,
    model: 'ReferringSegInferencer',
) -> Session:
    """Take another one of the head's masks; the model is not asked."""
    place = session.find(name)
    old = session.answers[place]
    if type(index) is not int or not 0 <= index < len(old.scores):
        raise ValueError(f'“{old.name}” has no mask of this number.')
    found = _restore(old.sample, index, model)
    new = replace(old, chosen=index, probabilities=found)
    return session.put(place, new)


def undo(
    session: Session, name: str | None, model: 'ReferringSegInferencer'
) -> Session:
    """Return to the answer before the last point or box.

    What began with these is gone where none is left.
    """
    place = session.find(name)
    old = session.answers[place]
    if old.before is None:
        if old.expression is None:
            return session.put(place)
        raise ValueError(f'“{old.name}” has no points to take back.')
    return session.put(place, _wake(old.before, model))


def clear(
    session: Session, name: str | None, model: 'ReferringSegInferencer'
) -> Session:
    """Return to the answer to the words alone, if there are words."""
    place = session.find(name)
    *_, first = session.answers[place].history()
    if first.expression is None:
        return session.put(place)
    return session.put(place, _wake(first, model))


def predict(session: Session, threshold: float) -> list[dict]:
    """Describe the answers at a threshold; the model is not asked.

    Returns:
        Dicts as of :func:`mmdit.apis.make_prediction`, with ``points`` and
        ``prompt_box`` where there are any.
    """
    rows = []
    for answer in session.answers:
        assert answer.probabilities is not None
        row = make_prediction(
            session.name, answer.expression, answer.probabilities, threshold
        )
        row |= answer.unread
        if answer.points:
            row['points'] = [list(point) for point in answer.points]
        if answer.box is not None:
            row['prompt_box'] = list(answer.box)
        rows.append(row)
    return rows


def bytes_needed(session: Session, number: int) -> int:
    """Return the memory that a number of answers will take, about."""
    pixels = session.pixels.shape[0] * session.pixels.shape[1]
    per_answer = pixels * np.dtype(np.float32).itemsize
    return session.pixels.nbytes + number * per_answer


def _show(
    session: Session,
    name: str | None,
    model: 'ReferringSegInferencer',
    point: Point | None = None,
    box: Box | None = None,
) -> Session:
    """Ask about an answer again, with one more prompt, or begin one."""
    if name is None and prompts_suffice(model):
        place, old = len(session.answers), None
        if place == MAX_EXPRESSIONS:
            raise ValueError(
                f'There are {place} masks; more colors cannot be told apart. '
                'Undo one, or drop the picture again.'
            )
        name, expression = _new_name(session), None
        points: tuple[Point, ...] = ()
    else:
        place = session.find(name)
        old = session.answers[place]
        name, expression, points = old.name, old.expression, old.points
        box = box or old.box
    if point is not None:
        points = (*points, point)
    (sample,) = model(
        session.pixels,
        [expression],
        points=[points or None],
        boxes=[box],
        masks=[None if old is None else old.logits],
        return_datasamples=True,
    )['predictions']
    before = None if old is None else replace(old, probabilities=None)
    new = _answer(model, name, expression, sample, points, box, before)
    return session.put(place, new)


def prompts_suffice(model: 'ReferringSegInferencer') -> bool:
    """Tell whether a model segments what is shown, without words."""
    return model.model.text_encoder is None or bool(model.model.train_points)


def _new_name(session: Session) -> str:
    """Return a name that no answer has."""
    names = {answer.name for answer in session.answers}
    number = 1
    while (name := f'Object {number}') in names:
        number += 1
    return name


def _answer(
    model: 'ReferringSegInferencer',
    name: str,
    expression: str | None,
    sample: Any,
    *shown: Any,
) -> Answer:
    """Make an answer of what the model found; keep what is small of it."""
    masks = sample.pred_masks
    chosen = int(masks.scores.argmax())
    probabilities = sample.seg_logits.data[0].numpy()
    del sample.seg_logits, sample.pred_sem_seg, masks.masks
    unread = model.wording.read(expression)
    given = name, expression, probabilities, sample, chosen, *shown
    return replace(Answer(*given), unread=unread)


def _wake(answer: Answer, model: 'ReferringSegInferencer') -> Answer:
    """Compute the probabilities of an earlier answer again."""
    if answer.probabilities is not None:
        return answer
    found = _restore(answer.sample, answer.chosen, model)
    return replace(answer, probabilities=found)


def _restore(
    sample: Any, index: int, model: 'ReferringSegInferencer'
) -> np.ndarray:
    """Return the (H, W) probabilities of one of the head's masks."""
    import torch

    logits = sample.pred_masks.low_res_masks[index][None]
    with torch.no_grad():
        return model.model.restore(logits, sample).sigmoid()[0].numpy()


__all__ = [
    'MAX_EXPRESSIONS',
    'Answer',
    'Box',
    'Point',
    'Session',
    'add_point',
    'ask',
    'bytes_needed',
    'choose',
    'clear',
    'open_picture',
    'predict',
    'prompts_suffice',
    'read_expressions',
    'set_box',
    'undo',
]
