"""benchmarks/speed.py compares what computes the same."""

import json
import sys

import pytest

from mmdit.models.backbones import archs


@pytest.fixture
def benchmark(monkeypatch):
    """Return the tool, with an encoder and a BERT that are small."""
    import speed
    from speed_models import QUICK, QUICK_ARCH

    monkeypatch.setitem(archs.ARCHS, QUICK, QUICK_ARCH)
    return speed


def run(benchmark, monkeypatch, out, *options):
    command = ['speed.py', '--archs', 'quick', '--repeats', '1']
    options = ('--device', 'cpu', '--inputs', '2x48', *options)
    monkeypatch.setattr(sys, 'argv', [*command, *options, '--out', str(out)])
    benchmark.main()
    return json.loads(out.read_text())


def test_encoders_are_compared_on_equal_outputs(
    benchmark, monkeypatch, tmp_path
):
    plot, curve = tmp_path / 'plot.png', tmp_path / 'curve.png'
    report = run(
        *(benchmark, monkeypatch, tmp_path / 'out.json'),
        *('--groups', 'text', 'windows', 'all'),
        *('--backends', 'auto', 'folded'),
        *('--plot', str(plot), '--curve', str(curve)),
    )
    cases = {}
    for row in report['rows']:
        cases.setdefault((row['case'], row['measured']), []).append(row)
    assert len(cases) == 4  # text in both directions
    for (case, _), rows in cases.items():
        names = {row['contender'] for row in rows}
        assert names > {'mmdit'}
        assert ('mmdit, folded' in names) == case.startswith('text')
        assert rows[0]['ratio'] == 1
        for row in rows:
            assert row['share'] > 0
            if row['dtype'] == 'float32':
                assert row['difference'] < 1e-4
            else:
                assert row['difference'] is None
    assert plot.stat().st_size > 0
    assert curve.stat().st_size > 0


@pytest.mark.slow
def test_expressions_of_an_image_are_predicted_alike_in_one_call(
    benchmark, monkeypatch, tmp_path
):
    report = run(
        *(benchmark, monkeypatch, tmp_path / 'out.json'),
        *('--groups', 'expressions', '--passes', 'forward'),
        *('--dtypes', 'float32'),
    )
    names = [row['contender'] for row in report['rows']]
    assert names == ['mmdit, 8 calls', 'mmdit'] * 2
    assert all(row['difference'] < 1e-4 for row in report['rows'])


@pytest.mark.slow
def test_a_training_step_is_measured(benchmark, monkeypatch, tmp_path):
    report = run(
        *(benchmark, monkeypatch, tmp_path / 'out.json'),
        *('--groups', 'step', '--passes', 'backward'),
        *('--dtypes', 'float32', 'bfloat16'),
    )
    names = [(row['contender'], row['dtype']) for row in report['rows']]
    assert names == [
        ('mmdit, reference', 'float32'),
        ('mmdit', 'float32'),
        ('mmdit', 'bfloat16'),
    ]


def test_who_fails_costs_a_row(benchmark, monkeypatch, tmp_path, capsys):
    import speed_parts

    build = speed_parts.build_ldit

    def fail(arch, backend):
        if backend == 'folded':
            raise MemoryError('no more')
        return build(arch, backend)

    monkeypatch.setattr(speed_parts, 'build_ldit', fail)
    report = run(
        *(benchmark, monkeypatch, tmp_path / 'out.json'),
        *('--groups', 'text', '--passes', 'forward', '--dtypes', 'float32'),
        *('--backends', 'folded', 'auto'),
    )
    *_, failed, last = report['rows']
    assert failed['error'] == 'MemoryError: no more'
    assert last['contender'] == 'mmdit' and last['median'] > 0
    assert 'no more' in capsys.readouterr().out


@pytest.mark.parametrize('text', ['512', '0x512', '2x100', 'axb'])
def test_inputs_of_no_use_are_rejected(
    benchmark, monkeypatch, tmp_path, capsys, text
):
    with pytest.raises(SystemExit):
        run(benchmark, monkeypatch, tmp_path / 'o.json', '--inputs', text)
    assert text in capsys.readouterr().err
