"""Which expressions are words."""

import time

import pytest

from mmdit.runtime.queries import (
    MAX_LENGTH,
    broadcast_expressions,
    check_expression,
)


@pytest.mark.parametrize(
    ('expression', 'message'),
    [
        ('caf\udce9', r"half a letter \('caf\\udce9'\)"),
        ('a\x00b', 'control characters'),
        ('\x1b[2J red', 'control characters'),
        (' \t\n', 'give it some words'),
        ('\u200b\ufeff', 'give it some words'),
        ('', 'give it some words'),
        (7, 'expected a string'),
        (b'red', 'expected a string'),
        ('x' * (MAX_LENGTH + 1), f'has {MAX_LENGTH + 1} characters'),
    ],
)
def test_what_is_no_expression_is_said(expression, message):
    with pytest.raises(ValueError, match=message):
        check_expression(expression)


@pytest.mark.parametrize(
    'expression', ['狗', 'كلب', 'a\tb\nc', '🍎', 'é', '?']
)
def test_every_language_is_words(expression):
    check_expression(expression)


def test_a_million_characters_cost_no_time():
    start = time.perf_counter()
    with pytest.raises(ValueError, match='1000000 characters') as caught:
        broadcast_expressions(['red', 'x' * 1_000_000], 3)
    assert time.perf_counter() - start < 0.5
    assert len(str(caught.value)) < 200
