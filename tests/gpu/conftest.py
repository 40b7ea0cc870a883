import os

import pytest
import torch

# Where there is no GPU, the tests that need no operator of CUDA can be tried by ASKD_GPU_TESTS_ON=cpu.
DEVICE = os.environ.get('ASKD_GPU_TESTS_ON', 'cuda')


@pytest.fixture
def device():
    """Where to run what is compared with the CPU."""
    if DEVICE == 'cuda' and not torch.cuda.is_available():
        pytest.skip('torch sees no GPU here')
    return DEVICE


@pytest.fixture
def cuda(device):
    """For what only a GPU can show."""
    if device != 'cuda':
        pytest.skip('needs a GPU')


@pytest.fixture
def without_tf32():
    """Convolutions of 24 bits, as on the CPU, instead of TF32's 11; products of matrices have them by default."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    yield
    torch.backends.cudnn.allow_tf32 = before
