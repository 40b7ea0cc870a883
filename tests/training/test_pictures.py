"""Pictures against Pillow, OpenCV and MMCV; what cannot be decoded; which files are pictures."""

import io
import struct

import cv2
import mmcv
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS
from PIL import Image, ImageOps

from askd_mmdet.training.pictures import (
    LoadPicture,
    RandomMirror,
    decode_picture,
    find_pictures,
    labelled_pictures,
    picture_size,
    read_picture,
    write_picture,
)
from tests.recognition.formats import jpeg, mutations


def noise(*shape, top=256, kind=np.uint8):
    return np.random.default_rng(0).integers(0, top, shape).astype(kind)


def encoded(picture, kind, **settings):
    stream = io.BytesIO()
    picture.save(stream, kind, **settings)
    return stream.getvalue()


@pytest.mark.parametrize('to_float32', [False, True])
def test_bytes_files_and_arrays_are_loaded_alike(tmp_path, to_float32):
    (tmp_path / 'a.jpg').write_bytes(jpeg(1))
    expected = np.array(Image.open(tmp_path / 'a.jpg').convert('RGB'))[..., ::-1]
    load = TRANSFORMS.build(dict(type='LoadPicture', to_float32=to_float32))
    file = load(dict(img_path=str(tmp_path / 'a.jpg'), gt_label=3))
    record = load(dict(img_path='train.rec#1', img_bytes=jpeg(1), gt_label=3))
    array = load(dict(img_path='nowhere', img=expected, gt_label=3))
    for results in (file, record, array):
        assert (results['img'] == expected).all() and results['img'].flags.c_contiguous
        assert results['img'].dtype == (np.float32 if to_float32 else np.uint8)
        assert results['img_shape'] == results['ori_shape'] == (16, 16) and results['gt_label'] == 3
    assert file['img'].flags.writeable and 'img_bytes' not in record  # it would be sent along with every sample


@pytest.mark.parametrize(
    'mode, kind',
    [(mode, kind) for mode in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA') for kind in ('png', 'tiff')]
    + [
        ('CMYK', 'jpeg'),
        ('CMYK', 'tiff'),
        ('L', 'jpeg'),
        ('L', 'ppm'),
        ('RGB', 'ppm'),
        ('RGB', 'bmp'),
        ('RGBA', 'webp'),
    ],
)
def test_every_mode_becomes_three_channels_as_in_mmcv(mode, kind):
    picture = Image.fromarray(noise(6, 9, 4), 'RGBA').convert(mode)
    content = encoded(picture, kind)
    found = decode_picture(content)
    assert found.shape == (6, 9, 3) and found.dtype == np.uint8 and found.flags.c_contiguous
    np.testing.assert_array_equal(found, mmcv.imfrombytes(content, backend='pillow'))


@pytest.mark.parametrize('kind', ['.png', '.pgm', '.tiff'])
def test_sixteen_bits_of_grey_are_scaled_as_in_opencv(kind):
    pixels = noise(8, 9, top=65536, kind=np.uint16)
    content = cv2.imencode(kind, pixels)[1]
    found = decode_picture(content.tobytes())
    assert (found == pixels[..., None] >> 8).all()
    np.testing.assert_array_equal(found, cv2.imdecode(content, cv2.IMREAD_COLOR))


@pytest.mark.parametrize('kind', ['.png', '.ppm', '.tiff'])
def test_sixteen_bits_of_colour_are_scaled(kind):
    pixels = noise(8, 9, 3, top=65536, kind=np.uint16)
    found = decode_picture(cv2.imencode(kind, pixels)[1].tobytes())
    np.testing.assert_allclose(found, pixels / 257, atol=1)  # Pillow rounds some kinds and cuts others


def test_a_grey_map_is_scaled_by_its_own_maximum():
    content = b'P5\n4 1\n1000\n' + struct.pack('>4H', 0, 250, 500, 1000)
    assert decode_picture(content)[0, :, 0].tolist() == [0, 64, 128, 255]  # of 0, 1/4, 1/2 and 1 of 65535


def tiff(bits, pixels, sample_format=1, photometric=1):
    """A grey TIFF of four pixels in a row, from the definition of the format."""
    tags = {256: 4, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1, 279: len(pixels)}
    tags[339] = sample_format
    entries = b''.join(struct.pack('<HHII', tag, 3, 1, value) for tag, value in sorted(tags.items()))
    return b'II*\0' + struct.pack('<I', 8 + len(pixels)) + pixels + struct.pack('<H', len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
    'content',
    [
        tiff(32, np.float32([0, 0.5, 1, 255]).tobytes(), sample_format=3),
        tiff(32, np.int32([0, 1, 255, 70000]).tobytes(), sample_format=2),
        tiff(16, np.int16([-5, 0, 5, 300]).tobytes(), sample_format=2),
        tiff(16, np.uint16([0, 1, 300, 65535]).tobytes(), photometric=0),  # white is zero
        tiff(12, bytes(6)),
    ],
    ids=['float', 'int32', 'int16', 'negative', '12 bits'],
)
def test_pixels_without_a_known_range_are_refused(tmp_path, content):
    path = tmp_path / 'a.tif'
    path.write_bytes(content)
    for read in (read_picture, picture_size):
        with pytest.raises(ValueError, match=r"pixels of Pillow's mode .* have no range that is known"):
            read(path)
    assert LoadPicture()(dict(img_path=str(path))) is None


def test_the_writer_of_tiffs_is_right():
    """Or the refusals above could have another reason."""
    assert decode_picture(tiff(16, np.uint16([0, 256, 300, 65535]).tobytes()))[0, :, 0].tolist() == [0, 1, 1, 255]


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_picture_stands_as_its_exif_tag_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / 'a.png'
    path.write_bytes(encoded(Image.fromarray(noise(5, 7, 3)), 'png', exif=exif))
    expected = cv2.imread(str(path))
    assert expected.shape == ((7, 5, 3) if orientation > 4 else (5, 7, 3))
    np.testing.assert_array_equal(read_picture(path), expected)
    assert picture_size(path) == expected.shape[1::-1]


@pytest.mark.parametrize(
    'content', [b'', b'<html>404</html>', jpeg()[:-40], jpeg()[:200]], ids=['empty', 'text', 'truncated', 'header']
)
def test_what_is_no_whole_picture_is_none(tmp_path, content):
    (tmp_path / 'a.jpg').write_bytes(content)
    assert LoadPicture()(dict(img_path='train.rec#1', img_bytes=content)) is None
    assert LoadPicture()(dict(img_path=str(tmp_path / 'a.jpg'))) is None
    with pytest.raises(ValueError, match=r'no picture|[Tt]runcated'):
        decode_picture(content)


def test_what_is_not_there_is_none(tmp_path):
    for path in (tmp_path / 'nowhere.jpg', tmp_path):
        assert LoadPicture()(dict(img_path=str(path))) is None
    with pytest.raises(FileNotFoundError):
        picture_size(tmp_path / 'nowhere.jpg')


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('kind', ['jpeg', 'png', 'bmp', 'ppm', 'tiff', 'webp'])
def test_a_damaged_picture_is_read_or_refused(kind):
    whole = encoded(Image.fromarray(noise(12, 12, 3)), kind)
    refused = 0
    for content in mutations(whole, 100):
        try:
            found = decode_picture(content)
        except ValueError as error:
            assert str(error)
            refused += 1
            continue
        assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3
        # Of all these, PNGs have a checksum.
        assert kind != 'png' or (found == decode_picture(whole)).all()
    assert refused > 10


@pytest.mark.parametrize('settings', [dict(subsampling=0), dict(subsampling=2, progressive=True), dict(quality=30)])
@pytest.mark.parametrize('orientation', [None, 1, 6])
def test_jpegs_have_pillows_pixels(settings, orientation):
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    picture = Image.fromarray(noise(37, 61, 3)).resize((122, 74), Image.BICUBIC)
    content = encoded(picture, 'jpeg', exif=exif, **settings)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(decode_picture(content)[..., ::-1], np.array(expected))


@pytest.mark.parametrize('fill', [b'', b'\xff'])
@pytest.mark.parametrize('kind, turned', [(0xE1, True), (0xE2, False), (0xFE, False)], ids=['XMP', 'app', 'comment'])
def test_a_jpeg_is_turned_by_xmp_wherever_it_stands_in_the_header(fill, kind, turned):
    plain = encoded(Image.fromarray(noise(8, 16, 3)), 'jpeg')
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    segment = fill + bytes([0xFF, kind]) + struct.pack('>H', len(xmp) + 2) + xmp
    for mark in (b'\xff\xdb', b'\xff\xc0', b'\xff\xda'):  # before the tables, the frame and the scan
        content = plain.replace(mark, segment + mark, 1)
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        assert expected.size == ((8, 16) if turned else (16, 8))
        np.testing.assert_array_equal(decode_picture(content)[..., ::-1], np.array(expected))


@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_a_jpeg_that_pillow_takes_for_a_bomb_is_refused(monkeypatch):
    content = jpeg()
    height, width = decode_picture(content).shape[:2]
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', height * width // 2)
    assert decode_picture(content).shape == (height, width, 3)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', height * width // 3)
    with pytest.raises(ValueError, match='decompression bomb'):
        decode_picture(content)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b'')


ENDINGS = ['jpg', 'JPG', 'jpeg', 'JPEG', 'png', 'bmp', 'ppm', 'pgm', 'tif', 'tiff', 'TIFF', 'webp', 'WebP']


def test_pictures_are_found_by_their_endings_and_the_rest_is_counted(tmp_path):
    folder = tmp_path / '.cache/faces'  # where the data lie may be hidden
    touch(folder, *(f'a/{i:02}.{ending}' for i, ending in enumerate(ENDINGS)))
    touch(folder, 'a-b/0.jpg', 'a/deep/er/1.png', 'Thumbs.db', 'a/notes.txt', 'a/more.TXT', 'README')
    touch(folder, '._0.jpg', 'a/._0.jpg', '.DS_Store', '.ipynb_checkpoints/0-checkpoint.jpg', 'a/.git/x/0.jpg')
    (folder / 'link').symlink_to(folder / 'a-b')
    lines = []
    found = find_pictures(folder, lines.append)
    inside = [f'a/{i:02}.{ending}' for i, ending in enumerate(ENDINGS)]
    assert found == [*inside, 'a/deep/er/1.png', 'a-b/0.jpg', 'link/0.jpg']
    assert lines == [
        f'{folder}: passed over 4 files that do not end like a picture: .txt (2), .db (1), none (1)'
    ] or lines == [f'{folder}: passed over 4 files that do not end like a picture: .txt (2), none (1), .db (1)']


def test_a_folder_that_is_missing_holds_no_picture_and_one_that_cannot_be_read_is_an_error(tmp_path):
    touch(tmp_path, 'file')
    assert find_pictures(tmp_path / 'nowhere') == []
    with pytest.raises(NotADirectoryError, match='file'):
        find_pictures(tmp_path / 'file')


def test_classes_are_the_folders_that_can_be_seen(tmp_path):
    touch(tmp_path, 'b/0.jpg', 'a/0.webp', 'a/x/1.jpg', '.ipynb_checkpoints/0.jpg', 'loose.jpg', 'c/._0.jpg')
    found, classes = labelled_pictures(tmp_path)
    assert classes == ('a', 'b', 'c')
    assert [(info['img_path'].removeprefix(f'{tmp_path}/'), info['gt_label']) for info in found] == [
        ('a/0.webp', 0),
        ('a/x/1.jpg', 0),
        ('b/0.jpg', 1),
    ]


def test_a_folder_of_no_class_is_an_error(tmp_path):
    touch(tmp_path, 'loose.jpg')
    with pytest.raises(FileNotFoundError, match=r'found no picture, expected a folder for each class with \.jpg'):
        labelled_pictures(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'nowhere is no folder'):
        labelled_pictures(tmp_path / 'nowhere')


def test_a_list_gives_the_labels(tmp_path):
    (tmp_path / 'val.txt').write_bytes('\ufeffa.jpg 2\r\n\r\nb c.jpg 10\n'.encode())
    found, classes = labelled_pictures(tmp_path, tmp_path / 'val.txt')
    assert classes is None and found == [
        dict(img_path=f'{tmp_path}/a.jpg', gt_label=2),
        dict(img_path=f'{tmp_path}/b c.jpg', gt_label=10),
    ]


@pytest.mark.parametrize('line', ['a.jpg', '7', 'a.jpg -1', 'a.jpg x', 'a.jpg 1.0', 'a.jpg \u0663', 'a.jpg 9999999999'])
def test_a_malformed_line_of_a_list_is_named(tmp_path, line):
    path = tmp_path / 'val.txt'
    path.write_text(f'b.jpg 1\n{line}\n', encoding='utf-8')
    with pytest.raises(ValueError, match=rf"val.txt:2: found '{line}', expected 'path label' with a label from 0"):
        labelled_pictures(tmp_path, path)
    path.write_bytes(b'b.jpg 1\n\xff\xfe\n')
    with pytest.raises(ValueError, match=r'val.txt is no text file in UTF-8'):
        labelled_pictures(tmp_path, path)
    path.write_bytes(b'\n')
    with pytest.raises(FileNotFoundError, match=r"val.txt: found no picture, expected lines of 'path label'"):
        labelled_pictures(tmp_path, path)


def test_a_transform_that_writes_into_a_picture_does_not_change_the_data_sets_array():
    array = np.full((4, 5, 3), 7, np.uint8)
    LoadPicture().transform(dict(img=array))['img'][:] = 0
    assert (array == 7).all()


@pytest.mark.parametrize('prob', [0.0, 0.3, 0.5, 1.0])
def test_a_mirror_draws_and_leaves_what_mmcvs_flip_does(prob):
    image, found = noise(4, 5, 3), []
    for kind in (RandomMirror, mmcv.transforms.RandomFlip):
        np.random.seed(0)
        step = kind(prob=prob)
        found.append([step(dict(img=image, gt_label=3)) for _ in range(50)] + [np.random.rand()])
    np.testing.assert_equal(*found)
    assert abs(sum(each['flip'] for each in found[0][:-1]) / 50 - prob) < 0.15


def test_a_share_of_mirrored_pictures_is_one():
    with pytest.raises(ValueError, match=r'RandomMirror: found prob=1\.5, expected .*at most 1'):
        RandomMirror(1.5)


@pytest.mark.parametrize('name', ['wide.jpg', 'wide.webp'])
def test_a_picture_that_its_format_cannot_hold_is_refused(tmp_path, name):
    """OpenCV raises for the one, and says no for the other."""
    with pytest.raises(ValueError, match=rf'{name}: a picture \(2, 70000, 3\) cannot be written as \{name[4:]}'):
        write_picture(tmp_path / name, np.zeros((2, 70000, 3), np.uint8))
    assert not [*tmp_path.iterdir()]


def test_links_are_followed_and_do_not_lead_around(tmp_path):
    """What lies behind two links is there twice, and what lies behind a link to its own folder is not."""
    (tmp_path / 'a/deep').mkdir(parents=True)
    (tmp_path / 'a/1.png').touch()
    (tmp_path / 'b').symlink_to(tmp_path / 'a')
    (tmp_path / 'a/deep/around').symlink_to(tmp_path / 'a')
    (tmp_path / 'here').symlink_to('.')
    for one, other in (('c', 'd'), ('d', 'c')):
        (tmp_path / one).mkdir()
        (tmp_path / one / '1.png').touch()
        (tmp_path / one / 'x').symlink_to(tmp_path / other)
    expected = ['a/1.png', 'b/1.png', 'c/1.png', 'c/x/1.png', 'd/1.png', 'd/x/1.png']
    assert find_pictures(tmp_path) == expected
    assert find_pictures(f'{tmp_path}/c/') == ['1.png', 'x/1.png']
