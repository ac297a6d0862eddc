"""The model card, as the hub's own library reads it."""

import pytest

from mmdit.hub.card import read_card, write_card

ROWS = [
    dict(intersection=90, union=100, iou=0.9),
    dict(intersection=0, union=100, iou=0.0),
]


def test_what_is_said_comes_back(tmp_path):
    folder = tmp_path / 'my-model'
    folder.mkdir()
    write_card(
        folder, 'apache-2.0', ['dit'], 'me/base', {'SynthRef val': ROWS}
    )
    card = read_card(folder)
    data = card.data
    assert data.license == 'apache-2.0' and data.base_model == 'me/base'
    assert data.pipeline_tag == 'image-segmentation'
    assert data.library_name == 'mmdit' and 'dit' in data.tags
    found = {r.metric_type: r.metric_value for r in data.eval_results}
    assert found['mIoU'] == pytest.approx(45.0)
    assert found['oIoU'] == pytest.approx(45.0)
    assert found['P@0.5'] == pytest.approx(50.0)
    assert {r.dataset_name for r in data.eval_results} == {'SynthRef val'}
    assert '| SynthRef val | 45.00 | 45.00 | 50.00 |' in card.text
    assert "ReferringSegInferencer('my-model')" in card.text


def test_nothing_is_claimed_that_was_not_measured(tmp_path):
    write_card(tmp_path)
    card = read_card(tmp_path)
    assert not card.data.eval_results and card.data.license is None
    assert card.data.base_model is None and 'Measured' not in card.text
    with pytest.raises(ValueError, match='no result rows of RefCOCO'):
        write_card(tmp_path, measured=dict(RefCOCO=[]))
