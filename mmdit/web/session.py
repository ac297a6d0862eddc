"""What a visitor has asked about a picture, and what the model answered.

Plain functions from session to session; the model is asked in here and
nowhere else. Shapes: a picture of H x W pixels.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mmdit.apis.images import MAX_PIXELS, read_image
from mmdit.apis.results import make_prediction

if TYPE_CHECKING:
    from mmdit.apis import ReferringSegInferencer

# As many as there are colours that can be told apart.
MAX_EXPRESSIONS = 10
# x, y in pixels of the picture; 1 inside the mask, 0 outside.
Point = tuple[float, float, int]
# An expression, its points and the masks before them.
_Question = tuple[str, tuple[Point, ...], tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Answer:
    """The answer to an expression, and the points that corrected it."""

    expression: str
    #: (H, W) float32.
    probabilities: np.ndarray
    #: ``low_res_logits`` after no point, one point, ...
    trail: tuple[np.ndarray, ...]
    points: tuple[Point, ...] = ()
    unknown_words: tuple[str, ...] = ()
    truncated: bool = False


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
            arrays += [answer.probabilities, *answer.trail]
        return sum(array.nbytes for array in arrays)

    def find(self, expression: str | None) -> int:
        """Return the place of an expression among the answers."""
        for i, answer in enumerate(self.answers):
            if answer.expression == expression:
                return i
        raise ValueError(
            'Points correct an answer: type an expression and press Find '
            'first, then select it.'
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
            f'{MAX_EXPRESSIONS} are shown at a time, because more colours '
            'cannot be told apart.'
        )
    return expressions


def ask(
    session: Session, text: str | None, model: 'ReferringSegInferencer'
) -> Session:
    """Answer the expressions of a text; those answered before are kept."""
    expressions = read_expressions(text)
    known = {answer.expression: answer for answer in session.answers}
    new = [e for e in expressions if e not in known]
    if new:
        questions: list[_Question] = [(e, (), ()) for e in new]
        known |= zip(new, _ask(session, questions, model), strict=True)
    return replace(session, answers=tuple(known[e] for e in expressions))


def add_point(
    session: Session,
    expression: str | None,
    point: Point,
    model: 'ReferringSegInferencer',
) -> Session:
    """Correct an answer by a point.

    As SAM was trained, the model sees all points so far and the last mask.
    """
    place = session.find(expression)
    old = session.answers[place]
    points = (*old.points, point)
    return _correct(session, place, points, old.trail, model)


def undo_point(
    session: Session, expression: str | None, model: 'ReferringSegInferencer'
) -> Session:
    """Return to the answer before the last point."""
    place = session.find(expression)
    old = session.answers[place]
    if not old.points:
        raise ValueError(f'“{old.expression}” has no points to take back.')
    return _correct(session, place, old.points[:-1], old.trail[:-2], model)


def clear_points(
    session: Session, expression: str | None, model: 'ReferringSegInferencer'
) -> Session:
    """Return to the answer to the words alone."""
    place = session.find(expression)
    if not session.answers[place].points:
        return session
    return _correct(session, place, (), (), model)


def predict(session: Session, threshold: float) -> list[dict]:
    """Describe the answers at a threshold; the model is not asked.

    Returns:
        Dicts as of :func:`mmdit.apis.make_prediction`.
    """
    return [
        make_prediction(
            session.name, answer.expression, answer.probabilities, threshold
        )
        | dict(
            unknown_words=list(answer.unknown_words),
            truncated=answer.truncated,
        )
        for answer in session.answers
    ]


def bytes_needed(session: Session, text: str | None) -> int:
    """Return the memory that the answers to a text will take, about."""
    pixels = session.pixels.shape[0] * session.pixels.shape[1]
    per_answer = pixels * np.dtype(np.float32).itemsize
    return session.pixels.nbytes + len(read_expressions(text)) * per_answer


def _correct(
    session: Session,
    place: int,
    points: tuple[Point, ...],
    trail: tuple[np.ndarray, ...],
    model: 'ReferringSegInferencer',
) -> Session:
    """Ask an expression again, with points and the masks before."""
    answers = list(session.answers)
    question = (answers[place].expression, points, trail)
    (answers[place],) = _ask(session, [question], model)
    return replace(session, answers=tuple(answers))


def _ask(
    session: Session,
    questions: list[_Question],
    model: 'ReferringSegInferencer',
) -> list[Answer]:
    """Ask the model."""
    rows = model(
        session.pixels,
        [expression for expression, _, _ in questions],
        points=[points or None for _, points, _ in questions],
        masks=[trail[-1] if trail else None for _, _, trail in questions],
        return_probabilities=True,
    )['predictions']
    return [
        Answer(
            expression,
            row['probabilities'],
            (*trail, row['low_res_logits']),
            points,
            tuple(row['unknown_words']),
            row['truncated'],
        )
        for (expression, points, trail), row in zip(
            questions, rows, strict=True
        )
    ]


__all__ = [
    'MAX_EXPRESSIONS',
    'Answer',
    'Point',
    'Session',
    'add_point',
    'ask',
    'bytes_needed',
    'clear_points',
    'open_picture',
    'predict',
    'read_expressions',
    'undo_point',
]
