"""Several processes that train together, forked from the test's own."""

import os
import sys
import traceback

import matplotlib.pyplot  # noqa: F401
import torch
import torch._dynamo  # noqa: F401
from mmengine.runner import Runner

from mmdit.registry import DATASETS, METRICS, MODELS, TRANSFORMS

# A fork has imported everything, and starts in no time.
for registry in (DATASETS, METRICS, MODELS, TRANSFORMS):
    registry.import_from_location()


def run_ranks(function, folder, environments):
    """Call a function in one new process per environment, in a folder."""
    children = []
    for rank, environment in enumerate(environments):
        child = os.fork()
        if child:
            children.append(child)
            continue
        status = 1
        try:
            log = os.open(folder / f'rank{rank}.log', os.O_CREAT | os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(folder)
            os.environ.update(environment)
            torch.set_num_threads(1)
            Runner._log_env = lambda *_: None  # it calls compilers
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    found = [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]
    logs = [path.read_text()[-3000:] for path in folder.glob('rank?.log')]
    assert not any(found), '\n'.join(logs)
