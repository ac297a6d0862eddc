"""demo/inference_tutorial.ipynb, with a small model."""

from pathlib import Path

import nbformat
import pytest
from in_process import call_tool
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from PIL.Image import Image

from mmdit.datasets.synthref import write_synthref

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / 'demo/inference_tutorial.ipynb'
CONFIG = ROOT / 'configs/synthref/ldit_tiny_synthref-64x64.py'


@pytest.fixture
def execute(monkeypatch):
    """Execute the notebook in a folder; return the values of its cells."""
    shell = InteractiveShell.instance()

    def execute(folder):
        monkeypatch.chdir(folder)
        cells = nbformat.read(NOTEBOOK, 4).cells
        values = []
        with capture_output():
            for cell in cells:
                if cell.cell_type == 'code':
                    done = shell.run_cell(cell.source)
                    done.raise_error()
                    values.append(done.result)
        return values

    yield execute
    InteractiveShell.clear_instance()


def test_every_cell_runs(execute, tmp_path):
    write_synthref(tmp_path / 'data/synthref', train=12, val=4)
    call_tool(
        *('tools/train.py', tmp_path, CONFIG),
        *('--work-dir', 'work_dirs/quickstart', '--cfg-options'),
        *('train_cfg.max_iters=2', 'train_cfg.val_interval=2'),
    )
    (tmp_path / 'demo').mkdir()
    values = execute(tmp_path / 'demo')
    assert sum(isinstance(value, Image) for value in values) == 4


def test_without_a_model_it_says_what_to_run(execute, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'tools/quickstart\.sh'):
        execute(tmp_path)


def test_the_stored_notebook_is_clean():
    """It was executed once from top to bottom, and is small."""
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    cells = [c for c in notebook.cells if c.cell_type == 'code']
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    assert NOTEBOOK.stat().st_size < 300_000
    assert '/root' not in NOTEBOOK.read_text()
