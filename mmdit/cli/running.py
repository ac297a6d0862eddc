"""Run a command as if it were called by a name of its own."""

import logging
import os
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper

FAILED, INTERRUPTED, BROKEN_PIPE = 1, 130, 141
# Import name: what to install; OpenCV comes with mmcv. No dependencies of
# mmdit, because installing it must never overwrite the ones that a user has.
MM_PACKAGES = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'cv2': 'onedl-mmcv',
    'mmseg': 'onedl-mmsegmentation',
}
# Shows where an error comes from.
DEBUG = 'MMDIT_DEBUG'
# Their texts are sentences; others need their names.
CLEAR = (
    ImportError,
    KeyError,
    MemoryError,
    OSError,
    TypeError,
    ValueError,
)


def run(module: str, name: str, arguments: Sequence[str]) -> int:
    """Call the ``main`` of a module with a command line.

    Args:
        module: Its name.
        name: What help and errors call it, such as ``mmdit train``.
        arguments: Its arguments.

    Returns:
        The exit status, unless ``main`` raises ``SystemExit`` itself.
    """
    sys.argv = [name, *arguments]
    return import_module(module).main() or 0


def guard(command: Callable[[], int | None]) -> int:
    """Run a command; whatever fails becomes a sentence and a status.

    The traceback goes into the log of a training or test, where there is one,
    and with ``MMDIT_DEBUG=1`` to standard error.

    Returns:
        The exit status: that of the command, 1 after an error, 130 after an
        interruption, 141 where nobody reads the output any more.
    """
    # Names of files may be what the terminal cannot show.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        status = command() or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        sys.stderr.write('interrupted\n')
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return BROKEN_PIPE
        sys.stderr.write(f'error: {sentence(error)}\n')
        return FAILED


def sentence(error: Exception) -> str:
    """Return what an error says, in one line; log where it comes from."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    _log(error)
    # The text of a KeyError is its repr.
    said = error.args[0] if type(error) is KeyError and error.args else error
    text = ' '.join(str(said).split())
    if isinstance(error, ModuleNotFoundError) and error.name in MM_PACKAGES:
        needed = ' '.join(dict.fromkeys(MM_PACKAGES.values()))
        text += f'; run: pip install {needed}'
    if isinstance(error, CLEAR) and ' ' in text:
        return text
    name = f'{type(error).__name__}: {text}'.strip()
    return f'{name} ({DEBUG}=1 shows where)'


def _nobody_reads() -> bool:
    """Tell whether standard output is closed; what is left of it goes."""
    poll = select.poll()
    # Errors are told without asking for events.
    poll.register(sys.stdout, 0)
    if not poll.poll(0):
        return False
    # Python flushes once more when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _log(error: Exception) -> None:
    """Write the traceback into the files of MMEngine's log, if it has any."""
    mmengine = sys.modules.get('mmengine.logging')
    if mmengine is None:
        return
    logger = mmengine.MMLogger.get_current_instance()
    cause = type(error), error, error.__traceback__
    record = logger.makeRecord(
        logger.name, logging.ERROR, __file__, 0, 'stopped', (), cause
    )
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
