import numpy as np
import pytest

from mmdit.visualization.report.grouping import (
    group_by_length,
    group_by_size,
    group_by_words,
)


def labels_of(grouping, row):
    return [group.label for group in grouping.groups if group.rows[row]]


@pytest.mark.parametrize(
    'expression, expected',
    [
        ('the red cup on the left', ['position', 'color']),
        ('cup left of the plate', ['relation']),
        ('the lowest cup next to the red plate', [
            'position', 'color', 'relation',
        ]),
        ('Left, in front of him', ['position', 'relation']),
        ('man with a hat', ['none of these']),
        # words, not parts of words
        ('a tired leftist', ['none of these']),
        ('thing closest to the star', ['relation']),
        ('the closest star', ['position']),
    ],
)  # fmt: skip
def test_words(expression, expected):
    grouping = group_by_words([expression])
    assert labels_of(grouping, 0) == expected


def test_lengths():
    texts = ['man', 'red  man', 'the red man', 'man in red.', 'a b c d']
    texts += [
        "man's hat",
        'one two three four five six',
        ' '.join('abcdefghi'),
    ]
    texts += ['!?']
    grouping = group_by_length(texts)
    found = [labels_of(grouping, row) for row in range(len(texts))]
    assert found == [
        *[['1 word'], ['2 words'], ['3 words'], ['3 words'], ['4–5 words']],
        *[['2 words'], ['6–8 words'], ['9 words or more'], ['1 word']],
    ]


def test_sizes_hold_their_upper_end():
    ground_truth = np.array([0, 10, 11, 50, 51, 100, 250, 251, 1000])
    grouping = group_by_size(ground_truth, np.full(9, 1000))
    assert [labels_of(grouping, row) for row in range(9)] == [
        *[['no target'], ['up to 1 %'], ['1–5 %'], ['1–5 %']],
        *[['5–10 %'], ['5–10 %'], ['10–25 %'], ['over 25 %'], ['over 25 %']],
    ]


def test_groups_without_rows_are_left_out():
    grouping = group_by_size(np.array([1]), np.array([1000]))
    assert [group.label for group in grouping.groups] == ['up to 1 %']
