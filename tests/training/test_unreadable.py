"""Unreadable pictures in a data set of MMEngine alone, and the hook that reports them."""

import logging

import cv2
import numpy as np
import pytest
from mmengine.dataset import BaseDataset, Compose
from mmengine.logging import MMLogger
from mmengine.structures import BaseDataElement

from askd_mmdet.training import ReplacesUnreadable, UnreadableImagesHook, unreadable


class Folder(ReplacesUnreadable, BaseDataset):
    check_tool = 'python check.py folder'

    def load_data_list(self):
        return [dict(img_path=str(path)) for path in sorted(self.folder.iterdir())]

    def __init__(self, folder, **settings):
        self.folder = folder
        super().__init__(pipeline=[load, pack], **settings)


def load(info):
    image = cv2.imread(info['img_path'])
    return None if image is None else dict(info, img=image, img_shape=image.shape[:2])


def pack(results):
    sample = BaseDataElement(metainfo={key: results[key] for key in ('img_path', 'img_shape', 'sample_idx')})
    return dict(inputs=results['img'], data_samples=sample)


@pytest.fixture
def folder(tmp_path):
    """A white picture between two files that are none."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    cv2.imwrite(str(folder / 'b.png'), np.full((5, 7, 3), 255, np.uint8))
    for name in 'ac':
        (folder / f'{name}.png').write_text('no picture')
    return folder


def test_training_takes_another_picture(folder):
    data = Folder(folder)
    for i in range(3):
        sample = data[i]
        assert (sample['inputs'] == 255).all() and sample['data_samples'].sample_idx == 1
        # Every picture that was tried is named, the one that was asked for first.
        paths = sample['data_samples'].get('unreadable', ())
        assert paths[:1] == (() if i == 1 else (f'{folder}/{"abc"[i]}.png',))
        assert set(paths) <= {f'{folder}/a.png', f'{folder}/c.png'}


def test_testing_takes_a_black_picture_under_the_same_number(folder):
    data = Folder(folder, test_mode=True)
    for i, name in enumerate('abc'):
        sample = data[i]
        assert sample['data_samples'].sample_idx == i and sample['data_samples'].img_path == f'{folder}/{name}.png'
        assert sample['data_samples'].get('unreadable', ()) == (() if name == 'b' else (f'{folder}/{name}.png',))
        assert sample['inputs'].any() == (name == 'b')
        assert sample['data_samples'].img_shape == sample['inputs'].shape[:2] == ((5, 7) if name == 'b' else (112, 112))


def test_a_folder_without_a_picture_is_an_error_that_names_the_tool(folder):
    (folder / 'b.png').write_text('no picture either')
    message = r'none of 3 pictures in a row .* 3 could not be read: .*/a.png.*"python check.py folder" says which'
    with pytest.raises(RuntimeError, match=message):
        Folder(folder, max_refetch=2)[0]


@pytest.fixture
def warned(caplog):
    logger = MMLogger.get_current_instance()  # does not propagate
    logger.addHandler(caplog.handler)
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    logger.removeHandler(caplog.handler)


def test_the_hook_warns_of_the_first_ones_and_names_all(folder, warned):
    hook = UnreadableImagesHook(warnings=1)
    data = Folder(folder, test_mode=True)
    for _ in range(2):  # known ones are no news
        for i in range(3):
            hook.after_test_iter(None, i, dict(data_samples=[data[i]['data_samples']]))
    hook.after_test_epoch(None)
    assert warned() == [
        f'cannot read {folder}/a.png, replaced it',
        f'2 test pictures could not be read:\n  {folder}/a.png\n  {folder}/c.png',
    ]


def test_the_hook_joins_the_processes_and_is_silent_without_a_cause(monkeypatch, warned):
    hook = UnreadableImagesHook()
    hook.after_train(None)
    assert not warned()
    monkeypatch.setattr(unreadable, 'all_gather_object', lambda mine: [mine, {'b.jpg', 'a.jpg'}, {'b.jpg'}])
    hook.after_train(None)
    assert warned() == ['2 train pictures could not be read:\n  a.jpg\n  b.jpg']


def test_a_pipeline_that_a_tool_puts_in_sees_every_step(folder):
    """As MMPretrain's browse_dataset.py does to show what is between the transforms."""

    class Watched(Compose):
        seen = []

        def __call__(self, data):
            for step in self.transforms:
                data = step(data)
                self.seen.append(step)
            return data

    data = Folder(folder)
    data.pipeline = Watched(data.pipeline.transforms)
    data[1]
    assert Watched.seen[-1] is pack and data.pipeline.transforms == [load, pack]
