"""What can be said of an object besides its looks.

A *claim* ('{} on the left') holds for its target by a clear margin. Every
other object that it might be said of, however generously, is a *rival*. The
noun phrase put into the claim has to fit the target and none of the rivals,
so no near-tie ever decides what an expression means.

Distances are relative to the image side, x to the right and y down.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from random import Random

from .scene import Scene, SceneObject

KINDS = ('attribute', 'position', 'relation')

_SIDES = {'left': (-1, 0), 'right': (1, 0), 'top': (0, -1), 'bottom': (0, 1)}
_EMPTY_WORDINGS = ('{}',)
_SIDE_WORDINGS = {
    'left': ('{} on the left', '{} on the left side', 'left {}'),
    'right': ('{} on the right', '{} on the right side', 'right {}'),
    'top': ('{} at the top', 'top {}'),
    'bottom': ('{} at the bottom', 'bottom {}'),
}
_CORNER_WORDINGS = ('{} at the <corner>', '{} in the <corner> corner')
_MIDDLE_WORDINGS = ('{} in the middle',)
# No 'leftmost': swapping the words left and right is all a flip has to do.
_FURTHEST_WORDINGS = {
    'left': ('{} furthest left', '{} furthest to the left'),
    'right': ('{} furthest right', '{} furthest to the right'),
    'top': ('highest {}',),
    'bottom': ('lowest {}',),
}
_BESIDE_WORDINGS = {
    'left': ('{} left of', '{} to the left of'),
    'right': ('{} right of', '{} to the right of'),
    'top': ('{} above',),
    'bottom': ('{} below', '{} under'),
}
_CLOSEST_WORDINGS = ('{} closest to',)

# "Clear" is asked of the target; "possible" makes another object a rival.
_SIDE_CLEAR, _SIDE_POSSIBLE = 0.14, -0.05  # from the center towards the side
_CORNER_CLEAR = 0.2
_MIDDLE_CLEAR, _MIDDLE_POSSIBLE = 0.12, 0.25  # from the center, either axis
_LEAD = 0.12  # of a superlative over the next best
_BESIDE_CLEAR, _BESIDE_POSSIBLE = 0.15, -0.05  # from the landmark


@dataclass(frozen=True)
class Claim:
    """Something true of a target.

    Args:
        wordings: Ways to say it; ``{}`` takes the noun phrase.
        rivals: Indices of the objects that it might also be said of.
        landmark: Index of the object to name after the wording, if any.
    """

    wordings: tuple[str, ...]
    rivals: frozenset[int]
    landmark: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the noun phrase is all that is said."""
        return self.wordings == _EMPTY_WORDINGS


def attribute_claim(scene: Scene, target: int) -> Claim:
    """Return the empty claim: the noun phrase alone has to tell."""
    everybody = range(len(scene.objects))
    return Claim(_EMPTY_WORDINGS, frozenset(everybody) - {target})


def draw_claims(
    scene: Scene, target: int, kind: str, rng: Random
) -> Iterator[Claim]:
    """Yield the true claims of a kind, in random order.

    Args:
        scene: The scene.
        target: Index of the object to speak of.
        kind: One of ``KINDS``.
        rng: Source of randomness; advances.
    """
    if kind == 'attribute':
        yield attribute_claim(scene, target)
        return
    odds = _POSITION_ODDS if kind == 'position' else _RELATION_ODDS
    for maker in sorted(odds, key=lambda m: rng.random() ** odds[m]):
        claims = list(maker(scene, target))
        rng.shuffle(claims)
        yield from claims


def claim_words() -> set[str]:
    """Return every word that a claim can add to its noun phrases."""
    wordings = [*_CORNER_WORDINGS, *_MIDDLE_WORDINGS, *_CLOSEST_WORDINGS]
    for table in (_SIDE_WORDINGS, _FURTHEST_WORDINGS, _BESIDE_WORDINGS):
        wordings += [wording for group in table.values() for wording in group]
    return set(' '.join(wordings).split()) - {'{}', '<corner>'}


def _scoring(
    scores: list[float], limit: float, *excepted: int
) -> frozenset[int]:
    """Return the indices of the scores above the limit, but the excepted."""
    above = {i for i, score in enumerate(scores) if score > limit}
    return frozenset(above.difference(excepted))


def _towards(
    side: str, obj: SceneObject, origin: tuple[float, float] = (0.5, 0.5)
) -> float:
    """Return how far the object lies from the origin towards a side."""
    (dx, dy), (x, y) = _SIDES[side], obj.center
    return dx * (x - origin[0]) + dy * (y - origin[1])


def _side(scene: Scene, target: int) -> Iterator[Claim]:
    for side, wordings in _SIDE_WORDINGS.items():
        scores = [_towards(side, obj) for obj in scene.objects]
        if scores[target] > _SIDE_CLEAR:
            yield Claim(wordings, _scoring(scores, _SIDE_POSSIBLE, target))


def _corner(scene: Scene, target: int) -> Iterator[Claim]:
    for sides in product(('top', 'bottom'), ('left', 'right')):
        scores = [
            min(_towards(side, obj) for side in sides) for obj in scene.objects
        ]
        if scores[target] > _CORNER_CLEAR:
            corner = ' '.join(sides)
            yield Claim(
                tuple(w.replace('<corner>', corner) for w in _CORNER_WORDINGS),
                _scoring(scores, _SIDE_POSSIBLE, target),
            )


def _middle(scene: Scene, target: int) -> Iterator[Claim]:
    # The nearer to the center, the higher; 0 is the best.
    scores = [
        -max(abs(coordinate - 0.5) for coordinate in obj.center)
        for obj in scene.objects
    ]
    if scores[target] > -_MIDDLE_CLEAR:
        yield Claim(
            _MIDDLE_WORDINGS, _scoring(scores, -_MIDDLE_POSSIBLE, target)
        )


def _furthest(scene: Scene, target: int) -> Iterator[Claim]:
    for side, wordings in _FURTHEST_WORDINGS.items():
        scores = [_towards(side, obj) for obj in scene.objects]
        yield Claim(wordings, _scoring(scores, scores[target] - _LEAD, target))


def _beside(scene: Scene, target: int) -> Iterator[Claim]:
    for landmark, mark in enumerate(scene.objects):
        offsets = {
            side: [_towards(side, obj, mark.center) for obj in scene.objects]
            for side in _SIDES
        }
        # Mainly in this direction: within 45 degrees of it.
        side = max(offsets, key=lambda side: offsets[side][target])
        if offsets[side][target] > _BESIDE_CLEAR:
            rivals = _scoring(
                offsets[side], _BESIDE_POSSIBLE, target, landmark
            )
            yield Claim(_BESIDE_WORDINGS[side], rivals, landmark)


def _closest(scene: Scene, target: int) -> Iterator[Claim]:
    for landmark, mark in enumerate(scene.objects):
        if landmark != target:
            scores = [
                -math.dist(obj.center, mark.center) for obj in scene.objects
            ]
            limit = scores[target] - _LEAD
            rivals = _scoring(scores, limit, target, landmark)
            yield Claim(_CLOSEST_WORDINGS, rivals, landmark)


# Which claims to try first: the larger, the sooner. Rare ones come first.
_POSITION_ODDS = {_side: 2.0, _corner: 2.0, _middle: 2.0, _furthest: 1.0}
_RELATION_ODDS = {_beside: 4.0, _closest: 1.0}
