"""tools/analysis_tools/get_memory.py."""

from pathlib import Path

import pytest

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
CONFIG = CONFIGS / 'synthref/ldit_tiny_synthref-64x64.py'


@pytest.fixture
def get_memory(run_tool, tmp_path, synthref_vocab):
    """Return the numbers of each row that the tool prints."""

    def run(*args):
        out = run_tool('analysis_tools/get_memory.py', tmp_path, *args)
        rows = [
            line.split('│')[1:-1]
            for line in out.splitlines()
            if line.startswith('│')
        ]
        return {name.strip(): list(map(float, row)) for name, *row in rows}

    return run


def test_parts_add_up(get_memory):
    options = ['--batch-size', 512, '--shape', 64, 128, '--cfg-options']
    options += [
        'model.backbone.arch.depth=2',
        'model.decode_head.num_layers=1',
        'model.text_encoder.config.num_hidden_layers=1',
    ]
    one = get_memory(CONFIG, *options)
    assert list(one) == [f'{CONFIG.stem}, 512 x 64x128']
    ((*parts, total),) = one.values()
    assert sum(parts) == pytest.approx(total, abs=0.3)
    assert parts[2] > 0.5  # activations of half a thousand images
    options += ['model.backbone.with_cp=True']
    (saved,) = get_memory(CONFIG, *options).values()
    assert saved[2] < 0.9 * parts[2]


def test_what_cannot_be_counted_is_named(get_memory, tmp_path):
    missing = tmp_path / 'missing.py'
    with pytest.raises(SystemExit, match='missing.py'):
        get_memory(missing)
    with pytest.raises(SystemExit, match='multiples of the patch'):
        get_memory(CONFIG, '--shape', 50, 64)
