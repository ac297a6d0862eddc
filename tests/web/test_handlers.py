"""What the page says of predictions."""

import pytest

from mmdit.web.session import query


def test_the_legend_says_what_was_not_read_as_meant(opened, model, store):
    pytest.importorskip('gradio')
    from mmdit.web.handlers import Handlers

    lines = ['the red circle', 'a circle. a square.', 'a red elephant']
    key = store.put(query(opened, '\n'.join(lines), model))
    _, legend, *_ = Handlers(model, store, None, []).show(key, 0.5, None)
    labels = [label for label, _ in legend.choices]
    assert [label.split(' · ')[0] for label in labels] == lines
    notes = [label.split(' · ')[2:] for label in labels]
    assert notes == [
        [],
        [
            'unknown to this model: .',
            'read as one expression: give each its own line',
        ],
        ['unknown to this model: elephant'],
    ]
