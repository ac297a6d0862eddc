"""tools/analysis_tools/analyze_logs.py."""

from functools import partial

import cv2
import pytest


@pytest.fixture
def analyze(run_tool, tmp_path):
    return partial(run_tool, 'analysis_tools/analyze_logs.py', tmp_path)


def write_log(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(rows) + '\n')


def test_a_resumed_run_is_one_curve(analyze, tmp_path):
    first, second = (
        tmp_path / 'work' / name / 'vis_data/scalars.json'
        for name in ('2025_1', '2025_2')
    )
    write_log(
        *(first, '{"loss": 3.0, "step": 1}', '{"loss": 2.0, "step": 2}'),
        *('{"mIoU": 10.5, "step": 0}', '{"loss": 9.0, "st'),
    )
    # From step 1 on, once more.
    write_log(
        *(second, '{"loss": 1.5, "step": 2}', '{"loss": 1.0, "step": 3}'),
        '{"time": 0.1}',
    )
    printed = analyze('work', '--out', 'a.png', '--legend', 'mine')
    assert printed.splitlines() == [
        'mine loss: 3 values, the last 1.0000 at step 3',
        'mine mIoU: 1 values, the last 10.5000 at step 2',
        'a.png',
    ]
    both = analyze('work', first, '--keys', 'loss', '--out', 'b.png')
    assert f'{first} loss: 2 values, the last 2.0000 at step 2' in both
    two, one = (cv2.imread(str(tmp_path / f'{name}.png')) for name in 'ab')
    assert two.shape[1] == 2 * one.shape[1]
    assert two.min() < 128 < two.mean()


def test_what_is_not_there_is_named(analyze, tmp_path):
    write_log(tmp_path / 'scalars.json', '{"loss": 3.0, "step": 1}')
    with pytest.raises(KeyError, match="no 'mIoU'; it has loss, step"):
        analyze('scalars.json')
    with pytest.raises(FileNotFoundError, match='empty: expected'):
        analyze('empty')
    with pytest.raises(SystemExit):
        analyze('scalars.json', '--legend', 'a', 'b')
