"""benchmarks/gpu.py, as far as a CPU shows it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmdit.models.backbones import archs

ROW = dict(case='attention alone', contender='folded', median=0.002)
# They end well, in an error, and not at all.
ENDINGS = dict(attention='', step='raise MemoryError("full | up")', flex='')
ENDINGS['flex'] = 'import time; time.sleep(600)'
CODE = """
import sys
with open(sys.argv[1], 'w') as file:
    file.write({row!r})
{ending}
"""


@pytest.fixture
def plan(monkeypatch):
    """Return what is measured where it is only tried."""
    from gpu_sections import QUICK, QUICK_ARCH, make_plan

    # Gone again after the test.
    monkeypatch.setitem(archs.ARCHS, QUICK, QUICK_ARCH)
    return make_plan('cpu', quick=True)


def test_each_section_ends_in_its_own_way(monkeypatch, tmp_path, capsys):
    import gpu

    def command(name, args, rows):
        row = json.dumps(
            ROW | dict(arch='base', batch=4, size=512, measured='')
        )
        code = CODE.format(row=f'{row}\n' + '{"cut', ending=ENDINGS[name])
        return [sys.executable, '-S', '-c', code, str(rows)]

    monkeypatch.setattr(gpu, 'section_command', command)
    monkeypatch.setitem(gpu.SECONDS, 'flex', 3)
    out = tmp_path / 'new/gpu.json'
    options = ['--device', 'cpu', '--out', str(out), '--sections', *ENDINGS]
    monkeypatch.setattr(sys, 'argv', ['gpu.py', *options])
    assert gpu.main() == 1
    entries = json.loads(out.read_text())['sections']
    states = {entry['section']: entry['state'] for entry in entries}
    assert states == dict(
        attention='finished', step='failed', flex='not finished'
    )
    assert all(entry['rows'][0]['median'] == 0.002 for entry in entries)
    assert 'error' not in entries[0] and 'full' in entries[1]['error']
    table = capsys.readouterr().out
    assert table.count('| folded |  | 2.00 ms | 2000 |') == 3
    assert '| step | failed' in table and 'MemoryError: full / up |' in table
    assert '| flex | not finished, ' in table


def test_no_section_begins_without_time(monkeypatch, tmp_path, capsys):
    import gpu

    monkeypatch.setattr(gpu, 'section_command', lambda *_: ['sleep', '600'])
    options = ['--patience', '0', '--out', str(tmp_path / 'gpu.json')]
    monkeypatch.setattr(sys, 'argv', ['gpu.py', '--device=cpu', *options])
    assert gpu.main() == 0
    assert capsys.readouterr().out.count('not finished') == len(gpu.SECONDS)


def test_an_interrupted_run_leaves_no_section(monkeypatch, tmp_path):
    import gpu

    class Interrupted(subprocess.Popen):
        def wait(self, timeout=None):
            begun.append(self)
            if timeout is None:
                return super().wait()
            raise KeyboardInterrupt

    begun = []
    monkeypatch.setattr(gpu.subprocess, 'Popen', Interrupted)
    monkeypatch.setattr(gpu, 'section_command', lambda *_: ['sleep', '60'])
    options = ['--device=cpu', '--out', str(tmp_path / 'gpu.json')]
    monkeypatch.setattr(sys, 'argv', ['gpu.py', *options])
    monkeypatch.setattr(gpu, 'describe_machine', lambda _: {})
    with pytest.raises(KeyboardInterrupt):
        gpu.main()
    assert begun[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ('name', 'contenders'),
    [
        ('attention', {'reference', 'sdpa', 'folded'}),
        ('memory', {'measured on a GPU only'}),
        pytest.param(
            *('inference', {'mmdit, reference', 'mmdit'}),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *('compiled', {'mmdit', 'mmdit, compiled'}),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_sections_run(plan, name, contenders):
    from gpu_sections import SECTIONS

    rows = list(SECTIONS[name](plan))
    assert {row['contender'] for row in rows} == contenders
    assert not [row['error'] for row in rows if 'error' in row]
    assert json.dumps(rows)


def test_every_section_has_a_time():
    from gpu import LIMIT, SECONDS
    from gpu_sections import SECTIONS

    assert list(SECONDS) == list(SECTIONS)
    assert sum(SECONDS.values()) - SECONDS['counted'] < LIMIT


def test_results_of_tests_are_rows(capsys):
    from gpu_sections import read_tests

    lines = [
        'collected 2 items\n',
        'tests/gpu/test_a.py::test_a[64-torch.float32] PASSED [ 50%]\n',
        'tests/gpu/test_a.py::test_b FAILED [100%]\n',
        'FAILED tests/gpu/test_a.py::test_b - no card\n',
    ]
    good, bad = read_tests(lines)
    assert good == dict(case='test', contender='test_a[64-torch.float32]')
    assert bad == dict(case='test', contender='test_b', error='FAILED')
    assert 'no card' in capsys.readouterr().out


def test_wheels_are_of_the_lock(monkeypatch):
    from machine import ROOT

    lock = (ROOT / 'requirements/lock.txt').read_text()
    for line in (ROOT / 'benchmarks/gpu_wheels.txt').read_text().splitlines():
        name = line.partition('#')[0].strip()
        assert not name or f'\n{name}==' in lock, name


def test_a_folder_of_other_files_is_not_emptied(tmp_path):
    (tmp_path / 'thesis.tex').touch()
    script = Path(__file__).parents[2] / 'benchmarks' / 'gpu.sh'
    done = subprocess.run(
        ['bash', script, '--pack'],
        env=os.environ | dict(WHEELS=str(tmp_path), PYTHON='false'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and 'holds other files' in done.stderr
    assert os.listdir(tmp_path) == ['thesis.tex']
