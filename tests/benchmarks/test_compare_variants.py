"""benchmarks/compare_variants.py."""

import json
import sys
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
from forked import fork, wait
from in_process import call_tool
from mmengine.config import Config

from mmdit.datasets.synthref import write_synthref

ROOT = Path(__file__).resolve().parents[2]
DATA = 'sam-tiny_synthref-64x64.py'


@pytest.fixture(scope='module')
def tool():
    import compare_variants

    return compare_variants


def make_result(config, seed, score):
    return {
        'config': config,
        'seed': seed,
        'iters': 7,
        'seconds': 30,
        'trainable': 1_500_000,
        'mIoU': score,
        'oIoU': score + 1,
        'P@0.5': score + 2,
        'shuffled mIoU': 5.0,
        'looks': 50.0,
        'place': 40.0,
        'relation': 30.0,
        'commit': 'abc',
        'torch': '2',
        'device': 'abacus',
    }


def test_every_row_of_the_paper_has_a_counterpart(tool):
    papers = {
        path.name.split('_')[0]
        for path in (ROOT / 'configs/dit').glob('*_sam-vit-b_*refcoco-512*')
    }
    # What is no row of the paper's tables.
    papers -= {'ldit-windowed', 'ldit-late', 'ldit-release'}
    assert set(tool.ROWS) == papers
    twins = {p.name for p in (ROOT / 'configs/synthref').glob(f'*_{DATA}')}
    others = ('prompts', 'text-prompts', 'ldit-attention')
    assert twins == {f'{row}_{DATA}' for row in (*tool.ROWS, *others)}


def test_the_table_shows_mean_and_spread(tool):
    results = [
        *(make_result('a_x.py', seed, 10 + seed) for seed in (0, 1, 2)),
        make_result('b_x.py', 0, 30),
    ]
    rows = tool.summarize(results)
    assert rows[0]['mIoU'] == (11, 1)
    assert rows[1]['mIoU'] == (30, 0)
    table = tool.format_table(rows, results)
    assert (
        '| 1.50 M | 3 | 11.0 ± 1.0 | 12.0 ± 1.0 | 13.0 ± 1.0 | 50.0 ±' in table
    )
    assert '| 1.50 M | 1 | 30.0 | 31.0' in table
    assert '7 steps' in table
    assert 'Commit abc, torch 2, abacus' in table


def test_expressions_are_sorted_by_what_they_ask_for(tool):
    said = {
        'small red star': 0.9,
        'the star': 0.7,
        'star on the left side': 0.4,
        'highest circle': 0.2,
        'the star to the left of the circle': 0.1,
        'thing closest to the star': 0.3,
    }
    rows = [dict(expression=words, iou=iou) for words, iou in said.items()]
    expected = dict(looks=80, place=30, relation=20)
    assert tool.score_kinds(rows) == pytest.approx(expected)


def test_only_what_is_between_the_marks_changes(tool, tmp_path):
    page = tmp_path / 'page.md'
    begin, end = '<!-- table: begin -->', '<!-- table: end -->'
    page.write_text(f'before\n{begin}\nold\n{end}\nafter\n')
    tool.insert_table(page, 'new')
    assert page.read_text() == f'before\n{begin}\nnew\n{end}\nafter\n'
    page.write_text('no marks')
    with pytest.raises(SystemExit, match='no lines'):
        tool.insert_table(page, 'new')


def test_another_start_is_rejected(tool):
    config = ROOT / f'configs/synthref/default_{DATA}'
    with pytest.raises(SystemExit, match=r'starts from .*iter_.*expected x'):
        tool.check_start([config], Path('x.pth'))


@pytest.mark.slow
def test_rows_are_compared_and_not_repeated(tool, tmp_path, monkeypatch):
    """All the way: pre-training, a variant, table and picture."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    few = partial(write_synthref, train=8, val=3)
    monkeypatch.setattr(tool, 'write_synthref', few)
    configs = [
        f'{ROOT}/configs/synthref/{name}_{DATA}'
        for name in ('default', 'ldit-frozen')
    ]

    def pretrain(command, check):
        assert command[0] == sys.executable and check
        call_tool(Path(command[1]).relative_to(ROOT), tmp_path, *command[2:])

    monkeypatch.setattr(tool, 'subprocess', Mock(run=pretrain))
    monkeypatch.setattr(tool, 'commit', lambda: 'abc')

    def run_apart(config, work_dir, *job):
        log = tmp_path / 'log'
        train = partial(tool.train_and_score, config, work_dir, *job)
        assert not wait(fork(train, tmp_path, log)), log.read_text()[-3000:]
        return json.loads((work_dir / 'result.json').read_text())

    monkeypatch.setattr(tool, 'run_apart', run_apart)

    def compare(*compared):
        command = ['compare', *compared, '--seeds', 3, '--device', 'cpu']
        command += ['--size', 32, '--depth', 1, '--iters', 2]
        command += ['--work-dir', 'all', '--out', 'page.md']
        monkeypatch.setattr(sys, 'argv', [str(part) for part in command])
        tool.main()
        assert (
            Path('all/images/variants.png').read_bytes().startswith(b'\x89PNG')
        )
        return Path('page.md').read_text()

    assert '[default]' in compare(configs[0])
    (path,) = Path('all').rglob('result.json')
    assert path.parent == Path('all', f'default_{DATA[:-3]}', 'seed3')
    content = json.loads(path.read_text())
    assert 0 <= content['mIoU'] <= 100 and content['iters'] == 2
    assert content['seed'] == 3
    model = Config.fromfile(f'all/configs/default_{DATA}').model
    assert model.backbone.arch.depth == 1 and model.backbone.img_size == 32
    # Both have a result now: nothing is left to train.
    monkeypatch.setattr(tool, 'run_apart', None)
    name = f'ldit-frozen_{DATA}'
    other = Path('all', name[:-3], 'seed3/result.json')
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps(content | dict(config=name)))
    page = compare(*configs)
    assert '[default]' in page and '[ldit-frozen]' in page
