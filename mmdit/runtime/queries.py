"""Which images and which expressions a person gives."""

from collections.abc import Sequence
from pathlib import Path
from string import whitespace as SPACE
from typing import Any
from unicodedata import category

from .images import list_images
from .prompts import Prompts, broadcast_prompts

Expressions = (
    str | Sequence[str | None] | Sequence[Sequence[str | None]] | None
)
# An expression or None, and the prompts beside it.
Query = tuple[str | None, Prompts]
# Characters: models cut expressions after some tens of tokens.
MAX_LENGTH = 2000
# Of a bad expression in an error.
SHOWN = 40


def broadcast_expressions(
    expressions: Expressions, number: int
) -> list[list[str | None]]:
    """Return the expressions of each of ``number`` images, None for none."""
    given: list = [expressions]
    if expressions is not None and not isinstance(expressions, str):
        given = list(expressions)
    single = [entry is None or isinstance(entry, str) for entry in given]
    if all(single):
        shared = [given] * number
    elif any(single):
        raise TypeError(
            'expressions mixes strings and lists; give a list of strings, '
            'for every image, or one list for each image'
        )
    elif len(given) != number:
        raise ValueError(
            f'{len(given)} lists of expressions for {number} images; give one '
            'list for each image'
        )
    else:
        shared = [list(entry) for entry in given]
    if not any(shared):
        raise ValueError('no expressions: the list is empty')
    for expression in (e for entry in shared for e in entry):
        if expression is not None:
            check_expression(expression)
    return shared


def make_queries(
    expressions: Expressions,
    number: int,
    prompts: dict[str, Any] | None = None,
) -> list[list[Query]]:
    """Return the queries of each image; none may be empty.

    Args:
        expressions: As of :func:`broadcast_expressions`.
        number: How many images there are.
        prompts: Arguments of :func:`broadcast_prompts`.
    """
    shared = broadcast_expressions(expressions, number)
    number = sum(map(len, shared))
    each = iter(broadcast_prompts(number, **(prompts or {})))
    queries = [[(e, next(each)) for e in entry] for entry in shared]
    for expression, given in (q for entry in queries for q in entry):
        if expression is None and not given:
            raise ValueError(
                'a query has neither an expression nor points, a box or a '
                'mask; give one of them'
            )
    return queries


def check_expression(expression: Any) -> None:
    """Reject what no tokenizer makes words of, before it tries."""
    if not isinstance(expression, str):
        raise ValueError(f'an expression is {expression!r}; expected a string')
    shown = repr(expression[:SHOWN])
    if len(expression) > MAX_LENGTH:
        raise ValueError(
            f'an expression has {len(expression)} characters ({shown}...); at '
            f'most {MAX_LENGTH} are read'
        )
    kinds = {category(letter) for letter in expression if letter not in SPACE}
    if kinds & {'Cc', 'Cs'}:
        raise ValueError(
            f'an expression holds control characters or half a letter '
            f'({shown}); leave them out, or give it as UTF-8'
        )
    if all(kind[0] in 'CZ' for kind in kinds):
        raise ValueError(f'an expression is {shown}; give it some words')


def list_sources(images: Any) -> list:
    """Return a list of images: those of a folder, a list, or a single one."""
    if isinstance(images, (str, Path)) and Path(images).is_dir():
        return list_images(images)
    sources = list(images) if isinstance(images, (list, tuple)) else [images]
    if not sources:
        raise ValueError('no images: the list is empty')
    return sources
