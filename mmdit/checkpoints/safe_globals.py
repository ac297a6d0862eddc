"""Load pickles of tensors and plain data; reject whatever could run code.

MMEngine's own checkpoints hold its training history beside tensors:
``HistoryBuffer`` and numpy values. These names are admitted, no others, and
lead to stand-ins that hold numbers.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .archive import check_archive
from .plain_data import to_plain_data
from .stand_ins import STAND_INS

_REJECTED = re.compile(r'GLOBAL ([^\s:]+)')


def load_pickle(path: Path, map_location: Any = 'cpu') -> Any:
    """Read a ``torch.save`` file with ``weights_only=True``."""
    try:
        check_archive(path)
        with _admitted_globals():
            loaded = torch.load(
                path, map_location=map_location, weights_only=True
            )
        return to_plain_data(loaded, path.stat().st_size)
    except (FileNotFoundError, PermissionError):
        raise
    # A forged file can make the unpickler fail in any way, and seek anywhere.
    except Exception as error:
        rejected = _REJECTED.search(str(error))
        if rejected:
            raise ValueError(
                f'{path} is rejected: it refers to {rejected[1]:.200}, and '
                'whatever is neither a tensor nor plain data could run code '
                'while it is loaded (weights_only). If you trust it, save its '
                'state dict alone with torch.save'
            ) from error
        # What PyTorch puts before it advises to read the file unsafely.
        reason = str(error).rpartition('WeightsUnpickler error: ')[2].strip()
        reason = reason.partition('\n')[0] or type(error).__name__
        raise ValueError(
            f'{path} cannot be read as a checkpoint: its download is '
            f'incomplete or it is another kind of file ({reason:.200})'
        ) from error


@contextmanager
def _admitted_globals() -> Iterator[None]:
    """Admit ``STAND_INS`` in addition to PyTorch's own list, for a while."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(STAND_INS)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
