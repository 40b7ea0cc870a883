"""The context block against its definition, branch by branch."""

import pytest
import torch
from torch.nn.functional import conv2d

from askd_mmdet.detection.inception import InceptionContext


def test_three_branches_of_one_two_and_three_convolutions():
    torch.manual_seed(0)
    block = InceptionContext(8).eval()
    level = torch.randn(2, 8, 7, 5)

    def conv(x, layer):
        return conv2d(x, layer.conv.weight, layer.conv.bias, padding=1)

    shared = conv(level, block.shared).relu()
    expected = torch.cat(
        [
            conv(level, block.one),
            conv(shared, block.two),
            conv(conv(shared, block.three[0]).relu(), block.three[1]),
        ],
        1,
    ).relu()
    (out,) = block((level,))
    assert out.shape == level.shape
    torch.testing.assert_close(out, expected)
    assert [block.one.conv.out_channels, block.two.conv.out_channels, block.three[1].conv.out_channels] == [4, 2, 2]


def test_one_block_serves_all_levels():
    block = InceptionContext(8, norm_cfg=dict(type='GN', num_groups=2))
    levels = tuple(torch.randn(1, 8, size, size) for size in (16, 8, 4, 2))
    assert [out.shape for out in block(levels)] == [level.shape for level in levels]
    torch.testing.assert_close(block(levels[1:])[0], block(levels)[1])


def test_channels_that_do_not_split_are_refused():
    with pytest.raises(ValueError, match='divisible by 4, got 6'):
        InceptionContext(6)
