"""torchrun, with an exit status that says which signal ended it.

``python -m mmdit.engine.launcher`` takes torchrun's arguments. A signal goes
on to all ranks, which then have time to save a checkpoint.
"""

import os
import signal
import sys
from types import FrameType

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

#: Seconds until ranks that do not end are killed; torchrun's variable.
TIMEOUT = 'TORCH_ELASTIC_SHUTDOWN_TIMEOUT'


def main() -> None:
    """Run torchrun and exit as its ranks do."""
    os.environ.setdefault(TIMEOUT, '120')
    if hasattr(signal, 'SIGUSR1'):
        # torchrun itself would die of it, and leave its ranks.
        signal.signal(signal.SIGUSR1, _stop)
    try:
        torchrun()
    except SignalException as stop:
        sys.exit(128 + int(stop.sigval))
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        sys.exit(code if code > 0 else 128 - code)


def _stop(number: int, frame: FrameType | None) -> None:
    """Do what torchrun does at other signals."""
    raise SignalException(
        f'got {signal.Signals(number).name}', signal.Signals(number)
    )


if __name__ == '__main__':
    main()
