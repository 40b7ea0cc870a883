"""Networks as ONNX describes them: pictures as they are go in, boxes or embeddings come out."""

import copy
import json
import warnings
from functools import partial
from pathlib import Path

import onnx
import torch
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.onnx import register_custom_op_symbolic, symbolic_helper
from torchvision.ops import deform_conv2d, nms

# The first with DeformConv.
OPSET = 19


class DetectorNetwork(nn.Module):
    """A detector with an IoUAwareRetinaHead from pictures to candidates, or to detections.

    Args:
        model: The detector of MMDetection; a copy of it is used.
        suppressing: Whether NMS and what comes before it (`test_cfg`) is part of the network.

    Shape:
        Without suppression: BGR uint8 (N, H, W, 3) -> boxes (N, A, 4) in pixels of the input, and scores (N, A).
        With it: BGR uint8 (1, H, W, 3), and the scale (2,), the input's width and height over those of the original
        picture -> boxes (D, 4) in pixels of the original picture, and scores (D,), best first.
    """

    def __init__(self, model: nn.Module, suppressing: bool = False):
        super().__init__()
        self.model = with_torchvision_operators(copy.deepcopy(model).cpu())
        self.suppressing = suppressing
        self.eval()

    def forward(self, images: Tensor, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
        preparation = self.model.data_preprocessor
        size = images.shape[1:3]
        pixels = normalised(images, preparation.mean, preparation.std, preparation._channel_conversion)
        bottom, right = (-side % preparation.pad_size_divisor for side in size)
        pixels = F.pad(pixels, (0, right, 0, bottom), value=preparation.pad_value)
        head = self.model.bbox_head
        boxes, scores = head.candidates(*head(self.model.extract_feat(pixels)), size)
        return self.suppress(boxes[0], scores[0], scale) if self.suppressing else (boxes, scores)

    def suppress(self, boxes: Tensor, scores: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        settings = self.model.bbox_head.test_cfg
        width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
        keep = (scores >= settings.score_thr) & ((width * height).sqrt() >= settings.min_box_side)
        keep = keep & (height / scale[1] >= settings.min_face_height)
        boxes, scores = boxes[keep], scores[keep]
        kept = nms(boxes, scores, settings.nms.iou_threshold)[: settings.max_per_img]
        return boxes[kept] / scale.repeat(2), scores[kept]


class EmbedderNetwork(nn.Module):
    """A FaceRecognizer from pictures to embeddings of length 1.

    Shape:
        BGR uint8 (N, side, side, 3) -> (N, D): the features of the picture and its mirror image.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = copy.deepcopy(model).cpu()
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        preparation = self.model.data_preprocessor
        pixels = normalised(images, preparation.mean, preparation.std, preparation.to_rgb)
        return F.normalize(torch.cat([self.model.extract_feat(x)[-1] for x in (pixels, pixels.flip(-1))], 1))


def normalised(images: Tensor, mean: Tensor, std: Tensor, to_rgb: bool) -> Tensor:
    """BGR (N, H, W, 3), in [0, 255], to what the backbone takes, (N, 3, H, W)."""
    pixels = images.permute(0, 3, 1, 2).float()
    return (((pixels.flip(1) if to_rgb else pixels) - mean) / std).contiguous()


def with_torchvision_operators(model: nn.Module) -> nn.Module:
    """The same network, whose deformable convolutions run on torchvision's operator, which has an equal in ONNX."""
    for module in model.modules():
        if isinstance(module, (DeformConv2dPack, ModulatedDeformConv2dPack)):
            module.forward = partial(_deformed, module)
    return model


def _deformed(module, x):
    offset, mask = module.conv_offset(x), None
    if isinstance(module, ModulatedDeformConv2dPack):
        first, second, mask = offset.chunk(3, 1)
        offset, mask = torch.cat([first, second], 1), mask.sigmoid()
    bias = getattr(module, 'bias', None)
    return deform_conv2d(x, offset, module.weight, bias, module.stride, module.padding, module.dilation, mask)


def _deform_conv_in_onnx(graph, x, weight, offset, mask, bias, *settings):
    """torchvision's operator as ONNX's, which takes the same in another order."""
    *numbers, masked = (symbolic_helper._parse_arg(value, 'i') for value in settings)
    vertical, horizontal, top, left, below, right, groups, offset_groups = numbers
    return graph.op(
        'DeformConv',
        *(x, weight, offset, bias, mask)[: 5 if masked else 4],
        strides_i=[vertical, horizontal],
        pads_i=[top, left, top, left],
        dilations_i=[below, right],
        group_i=groups,
        offset_group_i=offset_groups,
    )


def write_onnx(
    network: nn.Module,
    path: Path,
    inputs: dict[str, Tensor],
    axes: dict[str, dict],
    settings: dict,
    half: bool = False,
) -> None:
    """Write a network as one ONNX file.

    Torch's older exporter traces, in seconds where the newer one takes minutes, and keeps what is computed from the
    sides of a picture.

    Args:
        network: In eval mode.
        path: The file.
        inputs: Examples, by name.
        axes: The axes that may change, their names by their numbers, for every output and some inputs.
        settings: For the metadata, as JSON under the key `askd`.
        half: Whether the layers of the network compute in float16. What goes in, the boxes that are made of what
            comes out, whose pixels float16 could not count, and NMS stay as they are.
    """
    register_custom_op_symbolic('torchvision::deform_conv2d', _deform_conv_in_onnx, OPSET)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the older exporter's age, and of every shape that is checked in Python
        torch.onnx.export(
            network,
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=[name for name in axes if name not in inputs],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    file = onnx.load(path)
    if half:
        # A layer's operator is called /backbone/..., one of `forward` itself /..., and a weight that is used twice ...
        around = [node.name for node in file.graph.node if node.name.rpartition('/')[0] == '' and '/' in node.name]
        file = convert_float_to_float16(file, keep_io_types=True, node_block_list=around)
        OnnxModel(file).topological_sort()
    file.metadata_props.add(key='askd', value=json.dumps(settings))
    onnx.checker.check_model(file)
    onnx.save(file, path)
