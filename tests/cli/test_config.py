"""``mmdit config``."""

import pytest
from in_process import call_mmdit, call_tool
from mmengine.config import Config

NAME = 'ldit_tiny_jsonl-128x128'


def test_a_config_of_ones_own_inherits_from_anywhere(tmp_path):
    printed = call_mmdit(tmp_path, 'config', NAME, 'far/away/own.py')
    assert printed.startswith('far/away/own.py begins with /')
    path = tmp_path / 'far/away/own.py'
    with path.open('a') as file:
        file.write('train_cfg = dict(max_iters=5)\n')
    cfg = Config.fromfile(path)
    assert cfg.train_cfg.max_iters == 5
    # With all that it inherits.
    printed = call_mmdit(tmp_path, 'config', 'far/away/own.py')
    assert Config.fromstring(printed, '.py').to_dict() == cfg.to_dict()


def test_mms_tool_prints_a_config_with_options(tmp_path):
    printed = call_tool(
        *('tools/misc/print_config.py', tmp_path, NAME),
        *('--cfg-options', 'train_cfg.max_iters=7'),
    )
    assert Config.fromstring(printed, '.py').train_cfg.max_iters == 7


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / 'own.py').write_text('mine = 1')
    with pytest.raises(AssertionError):
        call_mmdit(tmp_path, 'config', NAME, 'own.py')
    assert (tmp_path / 'own.py').read_text() == 'mine = 1'


def test_only_python_files_are_written(tmp_path):
    with pytest.raises(SystemExit):
        call_mmdit(tmp_path, 'config', NAME, 'own.json')
