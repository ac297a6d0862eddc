import logging
import subprocess
import sys

from mmdit.quiet import without_lines

# In a process of its own: pytest has warning filters of its own, and mmcv
# warns once, when it is first imported.
BUILD = """
import mmdit
from mmdit.registry import MODELS
MODELS.build(dict(type='mmseg.CrossEntropyLoss', use_sigmoid=True))
import warnings
warnings.warn('of the user')
"""


def test_other_warnings_are_shown_but_those_of_no_use():
    done = subprocess.run(
        [sys.executable, '-c', BUILD], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if 'arning' in line] == [
        '<string>:6: UserWarning: of the user'
    ]


def test_lines_of_a_log_are_left_out_for_a_while(caplog):
    logger = logging.getLogger('mmdit-test')
    with without_lines(logger, 'FileClient'):
        logger.warning('"FileClient" will be deprecated')
        logger.warning('other')
    logger.warning('FileClient again')
    assert caplog.messages == ['other', 'FileClient again']
