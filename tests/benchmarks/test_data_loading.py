"""benchmarks/data_loading.py."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'ldit_sam-vit-b_4xb16-40e_refcoco-512x512'
TRAIN = 'train_dataloader.'


@pytest.fixture
def benchmark():
    import data_loading

    return data_loading


def test_every_transform_and_a_worker_are_timed(
    benchmark, tiny_refer, tmp_path, capsys
):
    out = tmp_path / 'report' / 'data.json'
    benchmark.main(
        ['items', CONFIG, '--rounds', '2', '--items', '3']
        + ['--out', str(out), '--cfg-options']
        + [f'{TRAIN}dataset.data_root={tiny_refer}', f'{TRAIN}batch_size=2']
        + [f'{TRAIN}persistent_workers=False']
    )
    report = json.loads(out.read_text())
    spent = report['ms_per_item']
    assert list(spent)[:2] == ['record', 'LoadReferImage']
    assert list(spent)[-1] == 'PackReferSegInputs' and len(spent) == 8
    assert min(spent.values()) > 0
    total = sum(spent.values())
    assert report['items_per_second'] == pytest.approx(1e3 / total)
    assert report['worker']['batch_size'] == 2
    assert report['worker']['items_per_second'] > 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in spent) and 'in all' in printed


def test_annotation_files_are_made_and_loaded(benchmark, tmp_path, capsys):
    args = benchmark.parse_args(
        ['index', '--annotations', '6', '--refs', '3']
        + ['--sentences', '7', '--images', '2']
    )
    benchmark.write_dataset(tmp_path, args)
    benchmark.load(str(tmp_path), 'sentence')
    assert 'by sentence: 7 items' in capsys.readouterr().out
