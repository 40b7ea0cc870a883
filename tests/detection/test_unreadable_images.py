"""Missing, empty and truncated pictures, from the file through worker processes to the log."""

import logging
import shutil

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader

import askd_mmdet.detection  # noqa: F401, registers the data set
from askd_mmdet.training.unreadable import UnreadableImagesHook

GOOD = ['0--Parade/good_0.jpg', '0--Parade/good_1.jpg']
BAD = {f'1--Riot/{name}.jpg' for name in ('missing', 'empty', 'no_picture', 'truncated', 'header_only')}
PIPELINE = [
    dict(type='LoadPicture'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A WIDER FACE of two good and five unreadable pictures, each with a face at 70..100 x 20..90."""
    root = tmp_path_factory.mktemp('wider_face')
    pictures = root / 'WIDER_train/images'
    for name in [*GOOD, *BAD]:
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
        Image.fromarray(noise).save(pictures / name)
    riot = pictures / '1--Riot'
    content = (riot / 'truncated.jpg').read_bytes()
    (riot / 'missing.jpg').unlink()
    (riot / 'empty.jpg').write_bytes(b'')
    (riot / 'no_picture.jpg').write_text('<html>404</html>')
    (riot / 'truncated.jpg').write_bytes(content[: len(content) * 9 // 10])
    (riot / 'header_only.jpg').write_bytes(content[:700])
    annotation = root / 'wider_face_split/wider_face_train_bbx_gt.txt'
    annotation.parent.mkdir()
    annotation.write_text(''.join(f'{name}\n1\n70 20 30 70 0 0 0 0 0 0\n' for name in [*GOOD, *sorted(BAD)]))
    return root


def config(root, **settings):
    return dict(
        type='mmdet.WiderFaceTxtDataset',
        data_root=str(root),
        ann_file='wider_face_split/wider_face_train_bbx_gt.txt',
        data_prefix=dict(img_path='WIDER_train/images'),
        pipeline=PIPELINE,
        **settings,
    )


def samples(dataset):
    """All samples of a data set, by way of two worker processes."""
    loader = DataLoader(dataset, batch_size=2, num_workers=2, collate_fn=pseudo_collate)
    for batch in loader:
        yield from zip(batch['inputs'], batch['data_samples'])


def names(paths, root):
    return {path.removeprefix(f'{root}/WIDER_train/images/') for path in paths}


def test_training_takes_another_image_and_says_so(root):
    dataset = DATASETS.build(config(root))
    found = list(samples(dataset))
    assert len(found) == len(GOOD) + len(BAD)
    unreadable = [names(sample.get('unreadable', ()), root) for _, sample in found]
    assert unreadable[: len(GOOD)] == [set(), set()]
    for name, paths in zip(sorted(BAD), unreadable[len(GOOD) :]):
        assert name in paths <= BAD
    for inputs, sample in found:
        assert sample.img_id < len(GOOD) and names([sample.img_path], root) <= set(GOOD)
        assert inputs.float().std() > 50  # noise, neither grey nor black


def test_testing_takes_a_black_picture_for_the_very_image(root):
    dataset = DATASETS.build(config(root, test_mode=True))
    found = list(samples(dataset))
    assert [sample.img_id for _, sample in found] == list(range(len(GOOD) + len(BAD)))
    for inputs, sample in found[: len(GOOD)]:
        assert 'unreadable' not in sample and inputs.shape == (3, 100, 120)
    for inputs, sample in found[len(GOOD) :]:
        assert sample.unreadable == (sample.img_path,)
        assert inputs.dtype == torch.uint8 and not inputs.any()
        # Wide and high enough for the face, which ends at (100, 90).
        assert inputs.shape == (3, 90, 100) and sample.ori_shape == sample.img_shape == (90, 100)
        assert sample.gt_instances.bboxes.tensor.tolist() == [[70, 20, 100, 90]]


def test_black_pictures_have_a_least_size(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'wider_face_split/wider_face_train_bbx_gt.txt').write_text(
        'x/a.jpg\n0\n0 0 0 0 0 0 0 0 0 0\nx/b.jpg\n1\n3 4 5 500 0 0 0 1 0 0\n'
    )
    found = [inputs.shape for inputs, _ in samples(DATASETS.build(config(tmp_path, test_mode=True)))]
    assert found == [(3, 64, 64), (3, 504, 64)]


def test_black_pictures_have_a_greatest_size(root, tmp_path):
    """All of the picture that a face of 60,000 pixels needs would take 10 GiB."""
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'wider_face_split/wider_face_train_bbx_gt.txt').write_text(
        'x/a.jpg\n2\n1 2 60000 60000 0 0 0 0 0 0\n5 6 7 8 0 0 0 0 0 0\n'
    )
    sample = DATASETS.build(config(tmp_path, test_mode=True))[0]
    assert sample['inputs'].shape == (3, 4096, 4096)
    # The faces count as missed all the same.
    assert sample['data_samples'].gt_instances.bboxes.tensor.tolist() == [[1, 2, 60001, 60002], [5, 6, 12, 14]]
    assert sample['data_samples'].unreadable


def test_training_gives_up_and_names_the_pictures(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'wider_face_split/wider_face_train_bbx_gt.txt').write_text(
        'x/a.jpg\n0\n0 0 0 0 0 0 0 0 0 0\nx/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n'
    )
    dataset = DATASETS.build(config(tmp_path, max_refetch=3))
    with pytest.raises(RuntimeError, match=r'none of 4 pictures .* 4 could not be read: .*x/a.jpg') as caught:
        dataset[0]
    assert f'askd check {tmp_path}' in str(caught.value)


def test_an_image_that_a_transform_drops_is_not_called_unreadable(root):
    def drop_the_first(results):
        return results if results['img_id'] else None

    settings = config(root, max_refetch=200)
    settings['pipeline'] = [*PIPELINE[:2], drop_the_first, *PIPELINE[2:]]
    sample = DATASETS.build(settings)[0]['data_samples']
    assert sample.img_id == 1 and names(sample.get('unreadable', ()), root) <= BAD
    with pytest.raises(RuntimeError, match=r'none of 1 pictures .* a transform dropped 1, and 0 could not'):
        DATASETS.build(settings | dict(test_mode=True))[0]


class Model(BaseModel):
    """Trains and predicts nothing."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples, mode):
        return dict(loss=self.weight**2) if mode == 'loss' else data_samples


class Count(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(count=len(results))


class Warnings(logging.Handler):
    """Keeps the texts of the warnings that a logger is given."""

    def __init__(self, logger):
        super().__init__()
        self.texts = []
        logger.addHandler(self)

    def emit(self, record):
        if record.levelno == logging.WARNING and 'read' in record.getMessage():
            self.texts.append(record.getMessage())


def test_the_hook_reports_what_the_workers_met(root, tmp_path):
    hook = UnreadableImagesHook(warnings=2)

    def loader(shuffle, **settings):
        return dict(
            batch_size=1,
            num_workers=2,
            sampler=dict(type='DefaultSampler', shuffle=shuffle),
            dataset=config(root, **settings),
        )

    runner = Runner(
        Model(),
        work_dir=str(tmp_path),
        train_dataloader=loader(True),
        val_dataloader=loader(False, test_mode=True),
        test_dataloader=loader(False, test_mode=True),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        val_cfg=dict(),
        test_cfg=dict(),
        val_evaluator=[Count()],
        test_evaluator=[Count()],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[hook],
        default_hooks=dict(logger=None, checkpoint=None),
        experiment_name=f'unreadable_{tmp_path.name}',
    )
    logged = Warnings(runner.logger).texts
    runner.train()
    runner.test()

    warned = [text for text in logged if text.startswith('cannot read ')]
    reports = [text.splitlines() for text in logged if not text.startswith('cannot read ')]
    assert len(warned) == 6 and len(set(warned[:2])) == len(set(warned[-2:])) == 2  # two in each mode
    # After each validation, after training, after the test.
    assert [lines[0] for lines in reports] == [
        f'5 {mode} pictures could not be read:' for mode in ('val', 'val', 'train', 'test')
    ]
    for lines in reports:
        assert names((line.strip() for line in lines[1:]), root) == BAD
