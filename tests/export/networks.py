"""Small networks with weights as of a training, and real pictures for them."""

import numpy as np
import torch
from mmengine.registry import DefaultScope
from skimage import data
from torch import nn

from askd_mmdet.detection.detector import FaceDetector
from askd_mmdet.recognition import FaceEmbedder
from askd_mmdet.training import build_model
from askd_mmdet.training.config import load_config


def detector_config(variant):
    """The toy's TinaFace with batch norm, or with group norm and deformable convolutions."""
    cfg = load_config('askd_mmdet::toy/tinaface_r50-bn-cbam_toy.py')
    if variant == 'gn-dcn':
        norm = dict(type='GN', num_groups=4)
        stages = (False, False, True, True)
        cfg.model.backbone.update(type='ZeroInitResNet', norm_cfg=norm, dcn=dict(type='DCN'), stage_with_dcn=stages)
        for part in (*cfg.model.neck, cfg.model.bbox_head):
            part.norm_cfg = norm
    return cfg


def embedder_config():
    return load_config('askd_mmdet::toy/arcface_ir18-cbam_toy.py')


def save_weights(cfg, path):
    """Random weights, of which none is zero, and whose scores are spread."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = build_model(cfg)
    model.init_weights()
    for name, weight in model.named_parameters():
        if not weight.any() or 'retina' in name:
            nn.init.normal_(weight, 0, 0.05)
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
    torch.save(model.state_dict(), path)
    return path


def build_detector(variant, folder, min_score=0):
    cfg = detector_config(variant)
    return FaceDetector(cfg, save_weights(cfg, folder / f'{variant}.pth'), 'cpu', min_score=min_score)


def build_embedder(folder):
    cfg = embedder_config()
    return FaceEmbedder(cfg, save_weights(cfg, folder / 'embedder.pth'), 'cpu')


def pictures(count=20):
    """Pieces of photographs, BGR, of as many sizes."""
    photographs = data.astronaut(), data.coffee(), data.chelsea(), data.rocket()
    pieces = (photographs[i % 4][5 * i : 200 + 3 * i, 7 * i : 260 - 2 * i] for i in range(count))
    return [np.ascontiguousarray(piece[..., ::-1]) for piece in pieces]
