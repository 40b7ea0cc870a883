"""A batch that crosses from its worker as one tensor gives the networks what a list of pictures gave them."""

import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import FUNCTIONS, MODELS, DefaultScope
from mmengine.structures import InstanceData
from mmengine.utils import import_modules_from_strings

from askd_mmdet.training.config import load_config

CONFIGS = {
    'detection/tinaface_r50-bn-cbam_widerface-16x_askd.py': 640,
    'recognition/arcface_ir50-cbam_casia-4x_askd.py': 112,
    'classification/resnet18-cbam_imagenet-4x_askd-kd.py': 224,
    'classification/resnet18-cbam_cifar10-4x_askd.py': 32,
}


def samples(scope, side):
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        if scope == 'mmdet':
            from mmdet.structures import DetDataSample

            annotation = DetDataSample(metainfo=dict(img_shape=(side, side)))
            annotation.gt_instances = InstanceData(bboxes=torch.rand(2, 4, generator=generator))
        else:
            from mmpretrain.structures import DataSample

            annotation = DataSample().set_gt_label(3)
        inputs, hr = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8, generator=generator)
        yield dict(inputs=inputs, hr_inputs=hr, data_samples=annotation)


@pytest.mark.parametrize('name', CONFIGS)
def test_stacked_batches_are_the_same_for_student_and_teacher(name):
    cfg = load_config(f'askd_mmdet::{name}')
    import_modules_from_strings(**cfg.custom_imports)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        preprocess = MODELS.build(cfg.model.data_preprocessor)
        collate = FUNCTIONS.get(cfg.train_dataloader.collate_fn.type)
    assert collate is default_collate
    assert cfg.train_dataloader.pin_memory
    batch = list(samples(cfg.default_scope, CONFIGS[name]))
    stacked, listed = collate(batch), pseudo_collate(batch)
    assert isinstance(stacked['inputs'], torch.Tensor)
    assert isinstance(stacked['hr_inputs'], torch.Tensor)
    for key in ('hr_inputs', 'inputs'):  # the annotations last, since preprocessing notes the padding in them
        found, expected = (
            preprocess(dict(inputs=data[key], data_samples=data['data_samples']), True) for data in (stacked, listed)
        )
        assert torch.equal(found['inputs'], expected['inputs'])
    assert [sample.to_dict().keys() for sample in found['data_samples']] == [
        sample.to_dict().keys() for sample in expected['data_samples']
    ]
