"""Groups of expressions: by length, by words, by size of what they name.

Groups by words overlap, and they know words, not meaning: "orange" is a color
here even where it is a fruit. The lists are short on purpose, so that a reader
of the report can judge them; the page shows them.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .rows import Results

# First and last number of words.
LENGTHS = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 8), (9, None))
# Upper end of the share of the image, in percent.
SIZES = (1, 5, 10, 25, 100)


def _phrases(text: str) -> list[str]:
    """Split a list of words or phrases at its commas."""
    return [' '.join(phrase.split()) for phrase in text.split(',')]


COLORS = _phrases("""
    red, orange, yellow, green, blue, purple, violet, pink, brown, black,
    white, grey, gray, beige, tan, gold, golden, silver, cyan, turquoise,
    blond, blonde
""")
# Removed before positions are sought: "left of the man" is a relation.
RELATIONS = _phrases("""
    left of, right of, above, below, under, beneath, behind, beside, besides,
    near, nearest, next to, closest to, close to, in front of, in back of,
    front of, between, on top of, inside of, by the, facing, touching,
    opposite, farthest from, furthest from
""")
POSITIONS = _phrases("""
    left, right, top, bottom, middle, center, centre, upper, lower, corner,
    side, edge, front, back, leftmost, rightmost, topmost, far, furthest,
    farthest, closest, highest, lowest, foreground, background, first, second,
    third, last
""")


class Group(NamedTuple):
    """Some of the N rows.

    Args:
        label: Its name.
        rows: (N,) bool, which rows belong to it.
    """

    label: str
    rows: np.ndarray


class Grouping(NamedTuple):
    """Groups of one kind.

    Args:
        title: What the groups have in common, "by ...".
        note: What to know about them.
        groups: Those that have rows.
    """

    title: str
    note: str
    groups: list[Group]


def group_rows(results: Results) -> list[Grouping]:
    """Group result rows in every way that they allow."""
    groupings = [
        group_by_length(results.expressions),
        group_by_words(results.expressions),
    ]
    if results.ground_truth is not None and results.area is not None:
        groupings.append(group_by_size(results.ground_truth, results.area))
    return groupings


def group_by_length(expressions: Sequence[str]) -> Grouping:
    """Group by the number of words."""
    # Even punctuation alone was said.
    lengths = np.array([max(1, len(_words(text))) for text in expressions])
    groups = []
    for first, last in LENGTHS:
        label = f'{first}–{last} words'
        if last is None:
            label = f'{first} words or more'
        elif last == first:
            label = f'{first} word{"s" if first > 1 else ""}'
        most = np.inf if last is None else last
        groups.append(Group(label, (first <= lengths) & (lengths <= most)))
    note = 'Words are what stands between spaces and punctuation.'
    return _keep_filled('length of the expression', note, groups)


def group_by_words(expressions: Sequence[str]) -> Grouping:
    """Group by words of position, color and relation; groups overlap."""
    relation, position, color = map(_compile, (RELATIONS, POSITIONS, COLORS))
    texts = [' '.join(_words(text)) for text in expressions]
    has_relation = _contain(relation, texts)
    rest = [relation.sub(' ', text) for text in texts]
    has_position, has_color = _contain(position, rest), _contain(color, rest)
    groups = [
        Group('position', has_position),
        Group('color', has_color),
        Group('relation', has_relation),
        Group('none of these', ~(has_position | has_color | has_relation)),
    ]
    note = (
        'An expression may belong to several groups; the lists of words '
        'are below, under “Method”.'
    )
    return _keep_filled('words of the expression', note, groups)


def group_by_size(ground_truth: np.ndarray, area: np.ndarray) -> Grouping:
    """Group by the share of the image that the true mask covers.

    Args:
        ground_truth: (N,) true pixels.
        area: (N,) pixels of the image.
    """
    groups = [Group('no target', ground_truth == 0)]
    above = 0
    for size in SIZES:
        # In integers: a share of exactly 5 % belongs below.
        rows = (100 * ground_truth > above * area) & (
            100 * ground_truth <= size * area
        )
        label = f'{above}–{size} %' if above else f'up to {size} %'
        groups.append(Group(f'over {above} %' if size == 100 else label, rows))
        above = size
    note = 'Share of the image that the true mask covers.'
    return _keep_filled('size of the object', note, groups)


def _keep_filled(title: str, note: str, groups: list[Group]) -> Grouping:
    """Leave groups without rows out."""
    return Grouping(title, note, [g for g in groups if g.rows.any()])


def _words(text: str) -> list[str]:
    """Split into words, in small letters."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())


def _compile(phrases: Sequence[str]) -> re.Pattern:
    """Match any of the phrases, the longest first."""
    longest = sorted(phrases, key=len, reverse=True)
    return re.compile(rf'\b(?:{"|".join(map(re.escape, longest))})\b')


def _contain(pattern: re.Pattern, texts: Sequence[str]) -> np.ndarray:
    """Return (N,) bool, which texts match."""
    return np.array([bool(pattern.search(text)) for text in texts])
