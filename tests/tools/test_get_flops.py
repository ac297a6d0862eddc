"""tools/analysis_tools/get_flops.py."""

from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = 'ldit_tiny_synthref-64x64'
CONFIG = ROOT / 'configs' / 'synthref' / f'{DEFAULT}.py'


@pytest.fixture
def get_flops(run_tool, tmp_path, synthref_vocab):
    """Return what the tool prints."""
    return partial(run_tool, 'analysis_tools/get_flops.py', tmp_path)


def test_table_has_one_row_for_each_config(get_flops):
    header, *rows = get_flops(CONFIG, CONFIG).splitlines()
    assert header.split()[-2:] == ['total', 'GFLOPs']
    assert [row.split()[0] for row in rows] == [DEFAULT] * 2
    assert len({len(line) for line in [header, *rows]}) == 1
    *parts, total = map(float, rows[0].split()[3:])
    assert sum(parts) == pytest.approx(total, abs=0.2)


def test_markdown_and_another_shape(get_flops):
    def total(*args):
        header, line, row = get_flops(CONFIG, '--markdown', *args).splitlines()
        assert header.count('|') == line.count('|') == row.count('|')
        return float(row.strip('| ').split('|')[-1])

    assert total('--shape', '64', '64') == total()
    # Fewer patches, and less than in proportion by attention.
    large = total('--shape', '512', '512')
    assert 1 < total('--shape', '256', '512') < large / 2


def test_what_cannot_be_counted_is_named(get_flops, tmp_path):
    missing = tmp_path / 'missing.py'
    with pytest.raises(SystemExit, match='missing.py'):
        get_flops(missing)
    with pytest.raises(SystemExit, match='multiples of the patch'):
        get_flops(CONFIG, '--shape', '500', '512')
