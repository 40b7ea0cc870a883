"""The attention maps of eq. 3-6 and the modules that make them."""

from askd_mmdet.attention.cbam import CBAM, ChannelAttention, SpatialAttention

__all__ = ['CBAM', 'ChannelAttention', 'SpatialAttention']
