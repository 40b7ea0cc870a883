"""Faces of one's own: a training by the shipped configs from the command line, and what is wrong with data."""

import json
import re

import numpy as np
import pytest
from PIL import Image

SMALL = [
    'model.backbone.init_cfg=None',
    'model.backbone.base_channels=8',
    'model.backbone.plugins.0.cfg.reduction=4',
    'model.neck.0.in_channels=[32,64,128,256]',
    'model.neck.0.out_channels=16',
    'model.neck.1.channels=16',
    'model.bbox_head.in_channels=16',
    'model.bbox_head.feat_channels=16',
    'train_dataloader.num_workers=0',
    'val_dataloader.num_workers=0',
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'train_dataloader.dataset.pipeline.2.transforms.3.scale=(128,128)',
    'val_dataloader.dataset.pipeline.2.transforms.0.scale=(160,120)',
]
NAME = 'tinaface_r50-bn-cbam_coco'


def write_faces(folder, category):
    """Four pictures of noise to train on and two to judge by, the last of which is damaged, with a face each."""
    generator = np.random.default_rng(0)
    for split, count in (('train', 4), ('val', 2)):
        (folder / split).mkdir(parents=True)
        images, annotations = [], []
        for i in range(count):
            noise = generator.integers(0, 256, (120, 160, 3), np.uint8)
            Image.fromarray(noise).save(folder / split / f'{i}.png')
            images.append(dict(id=i, file_name=f'{i}.png', width=160, height=120))
            annotations.append(dict(id=i + 1, image_id=i, category_id=7, bbox=[20, 20, 60, 70], area=4200, iscrowd=0))
        (folder / split / f'{count - 1}.png').write_bytes(b'damaged')
        content = dict(images=images, annotations=annotations, categories=[dict(id=7, name=category)])
        (folder / f'{split}.json').write_text(json.dumps(content))


NO_OBJECT = "data/coco_faces/train.json is not in COCO's format, an object with images, annotations and categories ("


def changed(change):
    """What changes the content of the training's annotation."""

    def damage(folder):
        content = json.loads((folder / 'train.json').read_text())
        change(content)
        (folder / 'train.json').write_text(json.dumps(content))

    return damage


@pytest.fixture
def train(askd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(ending='', *options, teacher=()):
        return askd('train', f'askd_mmdet::detection/{NAME}{ending}.py', *teacher, '--cfg-options', *SMALL, *options)

    return run


def test_a_teacher_and_a_student_train_on_coco_s_format_and_survive_damage(train, tmp_path):
    write_faces(tmp_path / 'data/coco_faces', 'head')
    named = [f'{split}_dataloader.dataset.metainfo.classes=[head]' for split in ('train', 'val', 'test')]
    status, _, errors = train('', *named)
    assert status == 0, errors
    teacher = tmp_path / f'work_dirs/{NAME}'
    status, _, errors = train(
        '-4x_askd', *named, teacher=['--teacher', teacher / 'epoch_1.pth', '--teacher-config', teacher / f'{NAME}.py']
    )
    assert status == 0, errors
    for name, logged in ((NAME, ()), (f'{NAME}-4x_askd', ('loss_attention',))):
        (scalars,) = (tmp_path / 'work_dirs' / name).glob('*/vis_data/scalars.json')
        lines = [json.loads(line) for line in scalars.read_text().splitlines()]
        steps = [line for line in lines if 'loss' in line]
        assert steps and all(key in line for line in steps for key in ('loss_cls', *logged))
        assert 0 <= lines[-1]['coco/bbox_mAP_50'] <= 1
        (log,) = (tmp_path / 'work_dirs' / name).glob('*/*.log')
        for split, damaged in (('train', '3.png'), ('val', '1.png')):
            assert re.search(rf'1 \w+ pictures could not be read.*{split}/{damaged}', log.read_text(), re.DOTALL)


@pytest.mark.parametrize(
    'damage, options, message',
    [
        (
            lambda folder: (folder / 'train.json').unlink(),
            (),
            "data/coco_faces/train.json does not exist; it should hold the faces in COCO's format",
        ),
        (
            lambda folder: None,
            (),
            "found classes=['face'], expected one of the categories of data/coco_faces/train.json, ['person']: name",
        ),
        (
            lambda folder: None,
            ['train_dataloader.dataset.metainfo.classes=[person,face]'],
            "found classes=['person', 'face'], expected one of the categories",
        ),
        *(
            (changed(change), (), f"data/coco_faces/train.json is not in COCO's format{message}")
            for change, message in (
                (lambda content: [each.pop('area') for each in content['annotations']], ": 'area' is missing"),
                (lambda content: content['images'][1].pop('height'), ": 'height' is missing"),
                (lambda content: content.pop('categories'), ": 'categories' is missing"),
                (lambda content: content['annotations'][1].update(id=1), ', an object with images'),
            )
        ),
        (lambda folder: (folder / 'train.json').write_text('[]'), (), NO_OBJECT),
        (lambda folder: (folder / 'train.json').write_text('{"images": ['), (), NO_OBJECT),
    ],
)
def test_what_is_missing_is_named(train, tmp_path, damage, options, message):
    write_faces(tmp_path / 'data/coco_faces', 'person')
    damage(tmp_path / 'data/coco_faces')
    status, _, errors = train('', *options)
    assert status == 1 and f'askd train: error: {message}' in errors
