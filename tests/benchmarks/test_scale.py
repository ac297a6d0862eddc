"""benchmarks/scale.py on a few rows."""

import pytest


@pytest.fixture
def measure(tmp_path, monkeypatch, capsys):
    import scale

    from mmdit.evaluation import refer_iou_metric

    # It takes the place of what the tool leaves out.
    count = refer_iou_metric._count_pixels
    monkeypatch.setattr(refer_iou_metric, '_count_pixels', count)

    def run(command, rows):
        scale.main([command, '--rows', str(rows), '--folder', str(tmp_path)])
        assert not list(tmp_path.iterdir())
        return capsys.readouterr().out

    return run


def test_shards_are_read_as_often_as_folders(measure):
    said = measure('shards', 50)
    assert said.count('10,000 read from .tar') == 2
    assert '10,000 read from folders' in said
    # Three numbers per file; of the index itself there are a few more.
    assert 24 < float(said.split()[-4]) < 28


def test_results_are_scored(measure):
    said = measure('scores', 1500)
    assert '1,500 results added' in said and "'mIoU'" not in said
    assert 'mIoU ' in said and 'bytes per row' in said
