"""What the tests of a GPU share: ``pytest -m gpu``.

They are skipped where there is none. With ``MMDIT_GPU_TESTS_DEVICE=cpu`` they
run on a CPU, which shows that they run, and nothing of a GPU.
"""

import os

import pytest
import torch


@pytest.fixture(scope='session')
def device():
    """The device of these tests."""
    name = os.environ.get('MMDIT_GPU_TESTS_DEVICE', 'cuda')
    if name == 'cuda' and not torch.cuda.is_available():
        pytest.skip('needs a GPU; MMDIT_GPU_TESTS_DEVICE=cpu tries the tests')
    return torch.device(name)
