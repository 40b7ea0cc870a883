"""Classification at low resolution: ResNet with CBAM for MMPretrain, and pictures in class folders (table 4)."""

import askd_mmdet.core  # noqa: F401, which a config of this task needs as well
from askd_mmdet.openmmlab import load

load('mmpretrain')

from askd_mmdet.classification.cbam_resnet import CBAMResNet, CBAMResNetCifar
from askd_mmdet.classification.datasets import Cifar10Dataset, ClassFolderDataset

__all__ = ['CBAMResNet', 'CBAMResNetCifar', 'Cifar10Dataset', 'ClassFolderDataset']
