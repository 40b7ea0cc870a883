"""Two processes on two GPUs, by NCCL, give the gradient of one on the joint batch."""

import pytest
import torch

from tests.distillation.test_hook import (  # noqa: F401
    teacher,
    test_two_processes_give_the_gradient_of_one_on_the_joint_batch,
)

pytestmark = pytest.mark.skipif(
    torch.cuda.device_count() < 2, reason=f'needs two GPUs, and torch sees {torch.cuda.device_count()}'
)
