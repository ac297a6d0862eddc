"""Expressions that are true of exactly one object, by construction.

An expression is a noun phrase ('red circle') inside of a claim ('{} on the
left'), see ``claims``. The words that are said of an object's looks are its
attributes' values, or one of a few synonyms.
"""

from collections.abc import Iterator
from itertools import combinations
from math import prod
from random import Random

from .claims import KINDS, Claim, attribute_claim, claim_words, draw_claims
from .scene import COLORS, SHAPES, SIZES, TEXTURES, Scene

_NOUNS = ('object', 'thing')  # said instead of the shape
_SYNONYMS = {'large': ('large', 'big')}
_MODIFIERS = ('size', 'texture', 'color')  # in the order they are spoken

_NUM_SENTENCES = (1, 1, 2, 2, 3)
_THE_PROB = 0.6
# To say an attribute against not to say it. Without its shape, an object is
# called 'object' or 'thing'.
_SAID_ODDS = {'shape': 1.5, 'color': 4.0, 'size': 0.5, 'texture': 0.35}


def describe(
    scene: Scene, target: int, rng: Random, kind_odds: dict[str, float]
) -> list[tuple[str, str]]:
    """Find one to three expressions for an object, each of another kind.

    Args:
        scene: The scene.
        target: Index of the object to describe.
        rng: Source of randomness; advances.
        kind_odds: How readily each of ``KINDS`` is chosen.

    Returns:
        Pairs (kind, expression); empty if nothing tells the object apart.
    """
    wanted = rng.choice(_NUM_SENTENCES)
    keys = {kind: rng.random() ** (1 / kind_odds[kind]) for kind in KINDS}
    found: list[tuple[str, str]] = []
    for kind in sorted(KINDS, key=lambda kind: -keys[kind]):
        expression = _find_expression(scene, target, kind, rng)
        if expression is not None:
            found.append((kind, expression))
        if len(found) == wanted:
            break
    return found


def grammar_words() -> list[str]:
    """Return every word that an expression can hold, sorted."""
    looks = {*SHAPES, *COLORS, *SIZES, *TEXTURES, *_NOUNS}
    synonyms = {word for group in _SYNONYMS.values() for word in group}
    return sorted({'the'} | looks | synonyms | claim_words())


def _find_expression(
    scene: Scene, target: int, kind: str, rng: Random
) -> str | None:
    for claim in draw_claims(scene, target, kind, rng):
        phrase = _noun_phrase(scene, target, claim, rng)
        if phrase is None:
            continue
        expression = rng.choice(claim.wordings).format(phrase)
        if claim.landmark is not None:
            unique = attribute_claim(scene, claim.landmark)
            landmark = _noun_phrase(scene, claim.landmark, unique, rng)
            if landmark is None:
                continue
            expression = f'{expression} the {landmark}'
        return f'the {expression}' if rng.random() < _THE_PROB else expression
    return None


def _noun_phrase(
    scene: Scene, target: int, claim: Claim, rng: Random
) -> str | None:
    """Draw a phrase that fits the target and none of the claim's rivals."""
    obj = scene.objects[target]
    usable, odds = [], []
    for said in _looks():
        fits = {
            i
            for i, other in enumerate(scene.objects)
            if all(getattr(other, key) == getattr(obj, key) for key in said)
        }
        if fits & claim.rivals:
            continue
        # A claim that rules nobody out would be idle: one could skip it.
        ruled_out = fits - {target, claim.landmark}
        if not (claim.is_empty or ruled_out):
            continue
        usable.append(said)
        odds.append(prod(_SAID_ODDS[key] for key in said))
    if not usable:
        return None
    said = rng.choices(usable, odds)[0]
    words = [getattr(obj, key) for key in said]
    if 'shape' not in said:
        words.append(rng.choice(_NOUNS))
    return ' '.join(rng.choice(_SYNONYMS.get(w, (w,))) for w in words)


def _looks() -> Iterator[tuple[str, ...]]:
    """Yield the choices of attributes to say, in the order of speech."""
    for count in range(len(_MODIFIERS) + 1):
        for modifiers in combinations(_MODIFIERS, count):
            yield (*modifiers, 'shape')
            yield modifiers
