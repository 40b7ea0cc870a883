"""Class folders and CIFAR-10's batches through the real configs, against the pixels that were written."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmpretrain.datasets import CIFAR10
from PIL import Image

from askd_mmdet.classification import Cifar10Dataset, ClassFolderDataset
from askd_mmdet.training import UnreadableImagesHook
from tests.toy_run import ROOT

BATCHES = {'train': [f'data_batch_{i}' for i in range(1, 6)], 'test': ['test_batch']}
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


def noise(count, seed=0, side=32):
    """RGB pictures, uint8 (count, side, side, 3), whose channels differ in brightness as well."""
    pictures = np.random.default_rng(seed).integers(0, 128, (count, side, side, 3), np.uint8)
    return pictures + np.uint8([120, 60, 0])


def write_batches(root, monkeypatch, count=4):
    """`cifar-10-batches-py` as Krizhevsky describes it, of `count` pictures a file; returns RGB pictures and labels."""
    folder = root / 'cifar-10-batches-py'
    folder.mkdir(parents=True)
    sums, written = {}, {'train': ([], []), 'test': ([], [])}
    for split, names in BATCHES.items():
        for seed, name in enumerate(names, len(split)):
            pictures, labels = noise(count, seed), np.random.default_rng(seed).integers(0, 10, count).tolist()
            planes = pictures.transpose(0, 3, 1, 2).reshape(count, 3072)  # all red, then all green, then all blue
            names_of_files = [f'{name}_{i}.png' for i in range(count)]
            batch = dict(batch_label=name, labels=labels, data=planes, filenames=names_of_files)
            content = pickle.dumps(batch, protocol=2)
            (folder / name).write_bytes(content)
            sums[name] = hashlib.md5(content).hexdigest()
            written[split][0].extend(pictures)
            written[split][1].extend(labels)
    for split, names in BATCHES.items():
        monkeypatch.setattr(CIFAR10, f'{split}_list', [[name, sums[name]] for name in names])
    return written


def write_folders(folder, pictures, labels, names, suffix='png'):
    for i, (picture, label) in enumerate(zip(pictures, labels)):
        path = folder / names[label] / f'{i:03}.{suffix}'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)


def build(config, data_root, split='test', **settings):
    """The data set of a real config, elsewhere."""
    cfg = Config.fromfile(ROOT / f'configs/classification/{config}.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = cfg[f'{split}_dataloader'].dataset
        return DATASETS.build(dict(dataset, data_root=str(data_root), **settings))


def test_batches_come_as_bgr_under_their_labels(tmp_path, monkeypatch):
    written = write_batches(tmp_path, monkeypatch)
    for split in ('train', 'test'):
        dataset = build('resnet18-cbam_cifar10', tmp_path, split)
        pictures, labels = written[split]
        assert isinstance(dataset, Cifar10Dataset) and len(dataset) == len(labels) == len(BATCHES[split]) * 4
        assert dataset.get_gt_labels().tolist() == labels
        assert dataset.CLASSES[0] == 'airplane' and dataset.CLASSES[9] == 'truck'
        for i, picture in enumerate(pictures):
            np.testing.assert_array_equal(dataset.get_data_info(i)['img'], picture[..., ::-1])
    for i, picture in enumerate(pictures):
        sample = dataset[i]
        assert torch.equal(sample['inputs'], torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1))
        assert sample['data_samples'].gt_label.item() == labels[i]
        assert sample['data_samples'].img_path.endswith(f'cifar-10-batches-py/test#{i}')


def test_the_network_sees_rgb_normalised(tmp_path, monkeypatch):
    written = write_batches(tmp_path, monkeypatch)
    dataset = build('resnet18-cbam_cifar10', tmp_path)
    cfg = Config.fromfile(ROOT / 'configs/classification/resnet18-cbam_cifar10.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        preprocessor = MODELS.build(cfg.model.data_preprocessor)
    found = preprocessor(dict(inputs=[dataset[2]['inputs']]))['inputs'][0]
    expected = (written['test'][0][2] - MEAN) / STD
    torch.testing.assert_close(found, torch.from_numpy(expected).permute(2, 0, 1).float())


@pytest.mark.parametrize('split', ['train', 'test'])
def test_folders_and_batches_give_the_same_samples(tmp_path, monkeypatch, split):
    pictures, labels = write_batches(tmp_path / 'batches', monkeypatch)[split]
    order = np.argsort(labels, kind='stable')
    pictures, labels = np.array(pictures)[order], np.array(labels)[order]
    write_folders(tmp_path / 'folders' / split, pictures, labels, CIFAR10.METAINFO['classes'])
    batches, folders = (build('resnet18-cbam_cifar10-4x_kd', tmp_path / name, split) for name in ('batches', 'folders'))
    assert len(batches) == len(folders) and batches.CLASSES == folders.CLASSES
    for i, place in enumerate(order):
        samples = []
        for dataset, index in ((batches, place), (folders, i)):
            torch.manual_seed(i)
            np.random.seed(i)
            samples.append(dataset[int(index)])
        a, b = samples
        assert torch.equal(a['inputs'], b['inputs']) and a['data_samples'].gt_label == b['data_samples'].gt_label
        assert ('hr_inputs' in a) == ('hr_inputs' in b) == (split == 'train')
        if split == 'train':
            assert torch.equal(a['hr_inputs'], b['hr_inputs']) and not torch.equal(a['hr_inputs'], a['inputs'])


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


@pytest.mark.parametrize('name', ['data_batch_3', 'test_batch'])
@pytest.mark.parametrize('split', ['train', 'test'])
def test_a_batch_with_another_checksum_is_not_unpickled(tmp_path, monkeypatch, name, split):
    write_batches(tmp_path, monkeypatch)
    trace = tmp_path / 'trace'
    hostile = pickle.dumps(dict(data=Hostile(trace), labels=[0]), protocol=2)
    pickle.loads(hostile)['data'].close()
    assert trace.exists()
    trace.unlink()
    (tmp_path / 'cifar-10-batches-py' / name).write_bytes(hostile)
    with pytest.raises(RuntimeError, match='Cannot find CIFAR10'):
        build('resnet18-cbam_cifar10', tmp_path, split)
    assert not trace.exists()


def test_a_missing_batch_is_an_error(tmp_path, monkeypatch):
    write_batches(tmp_path, monkeypatch)
    (tmp_path / 'cifar-10-batches-py/data_batch_5').unlink()
    with pytest.raises(RuntimeError, match='Cannot find CIFAR10'):
        build('resnet18-cbam_cifar10', tmp_path, 'train')


def test_a_training_crop_shifts_the_picture_by_up_to_four_pixels(tmp_path, monkeypatch):
    pictures, _ = write_batches(tmp_path, monkeypatch)['train']
    dataset = build('resnet18-cbam_cifar10', tmp_path, 'train')
    padded = np.pad(pictures[7][..., ::-1], ((4, 4), (4, 4), (0, 0)))
    windows = [padded[y : y + 32, x : x + 32] for y in range(9) for x in range(9)]
    windows += [window[:, ::-1] for window in windows]
    seen = set()
    for seed in range(40):
        np.random.seed(seed)
        found = dataset[7]['inputs'].permute(1, 2, 0).numpy()
        matches = [i for i, window in enumerate(windows) if np.array_equal(window, found)]
        assert len(matches) == 1
        seen.update(matches)
    assert len(seen) > 20 and any(i < 81 for i in seen) and any(i >= 81 for i in seen)


@pytest.fixture
def imagenet(tmp_path):
    """Three classes of three pictures, JPEGs of several sizes, for training and validation."""
    for split in ('train', 'val'):
        for label, name in enumerate(('n01', 'n02', 'n03')):
            for i in range(3):
                path = tmp_path / split / name / f'{name}_{i}.JPEG'
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.full((40 + 10 * i, 60, 3), 200 - 40 * label, np.uint8)
                Image.fromarray(pixels).save(path, 'jpeg')
    return tmp_path


def test_imagenets_class_folders(imagenet):
    for split, folder in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        dataset = build('resnet18-cbam_imagenet', imagenet, split)
        assert isinstance(dataset, ClassFolderDataset)
        assert len(dataset) == 9 and dataset.CLASSES == ('n01', 'n02', 'n03')
        for i in range(9):
            sample = dataset[i]
            assert sample['inputs'].shape == (3, 224, 224) and sample['data_samples'].gt_label.item() == i // 3
            assert (sample['inputs'].float() - (200 - 40 * (i // 3))).abs().max() <= 2
            assert sample['data_samples'].img_path.startswith(f'{imagenet}/{folder}/')


def test_a_flat_validation_folder_comes_with_a_list(imagenet):
    flat = imagenet / 'flat'
    flat.mkdir()
    for i in (2, 0, 1):
        (imagenet / f'val/n0{i + 1}/n0{i + 1}_0.JPEG').rename(flat / f'ILSVRC2012_val_{i}.JPEG')
    (imagenet / 'val.txt').write_text('ILSVRC2012_val_2.JPEG 2\nILSVRC2012_val_0.JPEG 0\n')
    dataset = build('resnet18-cbam_imagenet', imagenet, data_prefix='flat', ann_file='val.txt')
    assert dataset.get_gt_labels().tolist() == [2, 0]
    assert [round(dataset[i]['inputs'].float().mean().item()) for i in range(2)] == [120, 200]


def test_hidden_folders_are_no_classes(imagenet):
    for name in ('.ipynb_checkpoints/x.JPEG', 'n01/._n01_0.JPEG', 'n02/.x/y.JPEG', 'n03/list.txt'):
        path = imagenet / 'val' / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'')
    dataset = build('resnet18-cbam_imagenet', imagenet)
    assert dataset.CLASSES == ('n01', 'n02', 'n03')
    assert dataset.get_gt_labels().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_folder_beside_cifars_ten_is_named(tmp_path):
    write_folders(tmp_path / 'test', noise(10), range(10), CIFAR10.METAINFO['classes'])
    (tmp_path / 'test/unicorn').mkdir()
    with pytest.raises(ValueError, match=r'test has 11 folders, expected one for each of 10 classes'):
        build('resnet18-cbam_cifar10', tmp_path)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


def test_a_truncated_jpeg_is_replaced_in_training_and_counted(imagenet):
    path = imagenet / 'train/n01/n01_1.JPEG'
    truncate(path)
    dataset = build('resnet18-cbam_imagenet', imagenet, 'train')
    hook = UnreadableImagesHook()
    for i in range(9):
        np.random.seed(i)
        sample = dataset[i]
        unreadable = sample['data_samples'].get('unreadable', ())
        assert (set(unreadable) == {str(path)}) == (i == 1)
        # It is another picture's, label and all.
        label = sample['data_samples'].gt_label.item()
        assert (sample['inputs'].float() - (200 - 40 * label)).abs().max() <= 2
        assert sample['data_samples'].img_path != str(path)
        hook.after_train_iter(None, i, dict(data_samples=[sample['data_samples']]))
    assert hook.paths['train'] == {str(path)}


def test_a_truncated_jpeg_stands_black_in_testing(imagenet):
    path = imagenet / 'val/n02/n02_2.JPEG'
    truncate(path)
    dataset = build('resnet18-cbam_imagenet', imagenet)
    for i in range(9):
        sample = dataset[i]
        assert sample['data_samples'].gt_label.item() == i // 3 and sample['inputs'].shape == (3, 224, 224)
        assert sample['data_samples'].get('unreadable', ()) == ((str(path),) if i == 5 else ())
        assert sample['inputs'].any() == (i != 5)


def test_of_cifar_a_black_picture_has_the_others_size(tmp_path):
    """Else the preprocessor would pad the whole batch, and the other pictures' scores would change."""
    names = CIFAR10.METAINFO['classes']
    write_folders(tmp_path / 'test', noise(10), range(10), names, 'jpg')
    truncate(tmp_path / 'test/bird/002.jpg')
    dataset = build('resnet18-cbam_cifar10', tmp_path)
    for i in range(10):
        sample = dataset[i]
        assert sample['inputs'].shape == (3, 32, 32) and sample['inputs'].any() == (i != 2)
        assert sample['data_samples'].ori_shape == (32, 32)


def test_a_folder_of_damaged_pictures_names_the_tool_that_lists_them(imagenet):
    for path in (imagenet / 'train').rglob('*.JPEG'):
        path.write_text('no picture')
    dataset = build('resnet18-cbam_imagenet', imagenet, 'train', max_refetch=3)
    with pytest.raises(RuntimeError, match=rf'"askd check {imagenet}/train" says which'):
        dataset[0]


@pytest.mark.parametrize('config, folder', [('resnet18-cbam_imagenet', 'val'), ('resnet18-cbam_cifar10', 'test')])
def test_a_missing_folder_is_a_clear_error(tmp_path, config, folder):
    message = rf'{tmp_path}/{folder} is no folder; it should hold the pictures, in a folder for each class: put'
    with pytest.raises(FileNotFoundError, match=message):
        build(config, tmp_path)
