"""A scene: objects, where they are, and the backdrop.

All lengths are fractions of the image side, x to the right and y down, so
that a scene is the same at every image size.
"""

import math
from dataclasses import dataclass, replace
from random import Random
from typing import Any

SIZES = ('small', 'large')
TEXTURES = ('plain', 'striped', 'dotted')
COLORS = ('red', 'orange', 'yellow', 'green', 'cyan', 'blue', 'purple')


def _polygon(corners: int, radii: tuple[float, ...]) -> list[list[float]]:
    """Return points around the origin, the first one straight up."""
    points = []
    for i in range(corners):
        angle, radius = 2 * math.pi * i / corners, radii[i % len(radii)]
        points.append([radius * math.sin(angle), -radius * math.cos(angle)])
    return points


# Outlines of half-width one or so, tuned so that all look about equally big.
_S, _A = 0.88, 0.36  # half a square's side, half the width of a cross's arm
SHAPES = {
    'circle': _polygon(40, (0.98,)),
    'square': [[-_S, -_S], [_S, -_S], [_S, _S], [-_S, _S]],
    'triangle': [[0.0, -0.95], [1.0, 0.9], [-1.0, 0.9]],
    'star': _polygon(10, (1.15, 0.58)),
    'cross': [[-_A, -1.0], [_A, -1.0], [_A, -_A], [1.0, -_A], [1.0, _A],
              [_A, _A], [_A, 1.0], [-_A, 1.0], [-_A, _A], [-1.0, _A],
              [-1.0, -_A], [-_A, -_A]],
}  # fmt: skip

_BORDER, _GAP = 0.02, 0.025  # free space to the image border, between objects
_PLACING_TRIES = 40

# Grey levels of the backdrop, far from every paint.
_LIGHT, _DARK, _LIGHT_PROB = (0.84, 0.93), (0.1, 0.18), 0.6
_TINT, _SHADE = 0.04, 0.035


@dataclass(frozen=True)
class Level:
    """How hard scenes are to read.

    Args:
        num_objects: The fewest and the most objects of a scene.
        copy_prob: How likely an object resembles an earlier one, which makes
            it a distractor.
        radii: Range of the radius of each size, relative to the image side.
        kind_odds: How readily each kind of expression is chosen.
    """

    num_objects: tuple[int, int]
    copy_prob: float
    radii: dict[str, tuple[float, float]]
    kind_odds: dict[str, float]


LEVELS = {
    # At 64 px a small object is about 16 px across and a large one 25 px.
    'easy': Level(
        num_objects=(2, 3),
        copy_prob=0.3,
        radii={'small': (0.12, 0.13), 'large': (0.185, 0.2)},
        kind_odds={'attribute': 2.0, 'position': 0.8, 'relation': 0.8},
    ),
    # About 11 px and 20 px. A relation is harder to find in a scene than a
    # position; the odds make up for it.
    'crowded': Level(
        num_objects=(3, 6),
        copy_prob=0.65,
        radii={'small': (0.082, 0.09), 'large': (0.15, 0.162)},
        kind_odds={'attribute': 1.0, 'position': 0.55, 'relation': 1.5},
    ),
}


@dataclass(frozen=True)
class SceneObject:
    """One object.

    Args:
        shape: A key of ``SHAPES``.
        color: One of ``COLORS``.
        size: One of ``SIZES``.
        texture: One of ``TEXTURES``.
        center: Position (x, y), relative to the image side.
        radius: Half of the object's width, relative to the image side.
    """

    shape: str
    color: str
    size: str
    texture: str
    center: tuple[float, float]
    radius: float

    @property
    def reach(self) -> float:
        """Distance from the center to the outline's furthest point."""
        return self.radius * max(math.hypot(*p) for p in SHAPES[self.shape])


@dataclass(frozen=True)
class Scene:
    """Objects that do not touch each other, on a softly tinted backdrop.

    Args:
        objects: 3 to 6 objects.
        backdrop: 3 x 3 RGB colors in 0..1, row by row, to blend between.
    """

    objects: tuple[SceneObject, ...]
    backdrop: tuple[tuple[float, float, float], ...]


def sample_scene(rng: Random, level: Level) -> Scene:
    """Draw a scene.

    Args:
        rng: Source of randomness; advances.
        level: How hard to read.
    """
    count = rng.randint(*level.num_objects)
    objects = None
    while objects is None:  # a crowd of large objects may find no space
        drawn = _sample_attributes(count, rng, level.copy_prob)
        objects = _place(drawn, rng, level.radii)
    return Scene(objects, _sample_backdrop(rng))


def _sample_attributes(
    count: int, rng: Random, copy_prob: float
) -> list[dict[str, Any]]:
    values: dict[str, tuple[str, ...]] = dict(
        shape=tuple(SHAPES), color=COLORS, size=SIZES, texture=TEXTURES
    )
    drawn: list[dict[str, Any]] = []
    for _ in range(count):
        attributes = {key: rng.choice(values[key]) for key in values}
        if drawn and rng.random() < copy_prob:
            # Alike but for one or two attributes, or a copy if they agree.
            fresh = rng.sample(list(values), rng.choice((1, 1, 2)))
            model = rng.choice(drawn)
            attributes = {**model, **{key: attributes[key] for key in fresh}}
        drawn.append(attributes)
    rng.shuffle(drawn)
    return drawn


def _place(
    drawn: list[dict[str, Any]],
    rng: Random,
    radii: dict[str, tuple[float, float]],
) -> tuple[SceneObject, ...] | None:
    """Return the objects at free places, or None if there is no space."""
    placed: list[SceneObject] = []
    for attributes in drawn:
        # Rounded here, so that what gets recorded is exact.
        radius = round(rng.uniform(*radii[attributes['size']]), 4)
        obj = SceneObject(**attributes, center=(0.5, 0.5), radius=radius)
        for _ in range(_PLACING_TRIES):
            low, high = _BORDER + obj.reach, 1 - _BORDER - obj.reach
            x, y = (round(rng.uniform(low, high), 4) for _ in 'xy')
            obj = replace(obj, center=(x, y))
            if all(_gap(obj, other) > _GAP for other in placed):
                break
        else:
            return None
        placed.append(obj)
    return tuple(placed)


def _gap(one: SceneObject, other: SceneObject) -> float:
    """Return the free space between two objects' circumscribed circles."""
    return math.dist(one.center, other.center) - one.reach - other.reach


def _sample_backdrop(
    rng: Random,
) -> tuple[tuple[float, float, float], ...]:
    base = rng.uniform(*(_LIGHT if rng.random() < _LIGHT_PROB else _DARK))
    tint = [base + rng.uniform(-_TINT, _TINT) for _ in 'rgb']
    backdrop = []
    for _ in range(9):
        shade = rng.uniform(-_SHADE, _SHADE)
        backdrop.append((tint[0] + shade, tint[1] + shade, tint[2] + shade))
    return tuple(backdrop)
