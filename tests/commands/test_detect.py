"""`askd detect` with a small network, against its detector; videos of OpenCV's; what is bad, and what is killed."""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from askd_mmdet.commands import detect as command
from askd_mmdet.detection import FaceDetector, video
from askd_mmdet.detection.drawing import crop_face, draw_faces, hide_faces, pixels
from askd_mmdet.detection.submission import read_detections
from tests.toy_run import HR, ROOT, random_network, toy_config

SCORE = 0.3


@pytest.fixture(scope='module')
def network(toy_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp('network')
    cfg = toy_config(HR, toy_data, folder)
    random_network(cfg, folder / 'a.pth')
    random_network(cfg, folder / 'b.pth', seed=1)
    cfg.dump(folder / 'config.py')
    return folder


@pytest.fixture(scope='module')
def detector(network):
    return FaceDetector(network / 'config.py', network / 'a.pth', min_score=SCORE)


@pytest.fixture
def photos(toy_data, tmp_path):
    """Four pictures in folders, three of them PNG, so that results can be compared pixel by pixel."""
    folder = tmp_path / 'photos'
    names = ['a.png', 'Straße im Süden/b c.png', 'Straße im Süden/tief/d.PNG', 'e.jpg']
    for name, path in zip(names, sorted(toy_data.glob('WIDER_val/images/*/*.jpg'))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(folder / name, quality=95)
    return folder


@pytest.fixture
def tool(askd, network, tmp_path, monkeypatch):
    """Runs the command in a folder of its own; returns status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, checkpoint='a.pth'):
        return askd('detect', network / 'config.py', network / checkpoint, *arguments)

    return run


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())


def entries(out):
    return [json.loads(line) for line in (out / 'detections.jsonl').read_text().splitlines()[1:]]


def write_video(path, frames, rate, codec):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, frames[0].shape[1::-1])
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()


def read_video(path):
    """Frames, and frames per second."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (frame := capture.read()[1]) is not None:
        frames.append(frame)
    return frames, capture.get(cv2.CAP_PROP_FPS)


def test_a_folder_is_framed_in_its_subfolders(tool, detector, photos, tmp_path):
    status, output, errors = tool(photos)
    assert status == 0 and 'detecting: 4 in 0:' in errors
    out = tmp_path / 'detections'
    names = names_in(photos)
    assert names_in(out) == sorted([*names, 'detections.jsonl'])
    total = 0
    for entry in entries(out):
        image = cv2.imread(str(photos / entry['name']))
        if entry['name'].endswith('.jpg'):
            continue
        found = detector.detect([image])[0]
        total += len(found.boxes)
        assert (entry['width'], entry['height']) == image.shape[1::-1]
        np.testing.assert_allclose(np.float32(entry['boxes']), found.boxes, atol=1e-3)
        np.testing.assert_allclose(np.float32(entry['scores']), found.scores, atol=1e-5)
        written = cv2.imread(str(out / entry['name']))
        boxes = np.float32(entry['boxes'])
        assert np.array_equal(written, draw_faces(image, boxes, np.float32(entry['scores'])))
    assert total > 5 and sorted(entry['name'] for entry in entries(out)) == names
    assert 'in 4 pictures' in output


@pytest.mark.parametrize('how', ['pixelate', 'fill'])
def test_hidden_faces_and_crops(tool, photos, tmp_path, how):
    exif = Image.Exif()
    exif[0x010E] = 'a face'
    Image.open(photos / 'e.jpg').save(photos / 'e.jpg', exif=exif)
    assert tool(photos, '--blur', how, '--crops', 'faces', '--margin', 0.5, '--out', 'hidden')[0] == 0
    crops = []
    for entry in entries(tmp_path / 'hidden'):
        image = cv2.imread(str(photos / entry['name']))
        written = cv2.imread(str(tmp_path / 'hidden' / entry['name']))
        boxes = np.float32(entry['boxes']).reshape(-1, 4)
        stem, ending = os.path.splitext(entry['name'])
        crops += [f'{stem}_{i:03}{ending}' for i in range(len(boxes))]
        if ending == '.jpg':
            assert not Image.open(tmp_path / 'hidden' / entry['name']).getexif()
            continue
        assert np.array_equal(written, hide_faces(image, boxes, how))
        for i, box in enumerate(boxes):
            assert np.array_equal(
                cv2.imread(str(tmp_path / f'faces/{stem}_{i:03}{ending}')), crop_face(image, box, 0.5)
            )
    assert names_in(tmp_path / 'faces') == sorted(crops) and crops


def test_without_pictures_in_the_formats_of_others(tool, photos, tmp_path):
    for i, path in enumerate(sorted(photos.rglob('*.*'))):
        path.rename(photos / f'{i}{path.suffix}')
    places = dict(json='new/a.json', coco='new/coco.json', wider_face='submission')
    options = [part for name, place in places.items() for part in (f'--{name.replace("_", "-")}', place)]
    assert tool(photos, '--no-pictures', *options)[0] == 0
    out = tmp_path / 'detections'
    assert names_in(out) == ['detections.jsonl']
    kept = entries(out)
    written = json.loads((tmp_path / 'new/a.json').read_text())
    assert written == [{key: entry[key] for key in entry if key != 'file'} for entry in kept] and len(kept) == 4
    for entry in kept:
        boxes, scores = read_detections(tmp_path / 'submission' / f'{entry["name"][0]}.txt')
        corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        np.testing.assert_allclose(corners, np.reshape(entry['boxes'], (-1, 4)), atol=1e-4)
        np.testing.assert_allclose(scores, entry['scores'])
    # COCO's own code finds every face where it is the truth itself.
    truth = dict(images=[], annotations=[], categories=[dict(id=1, name='face')])
    for entry in kept:
        image_id = int(entry['name'][0])
        truth['images'].append(dict(id=image_id, width=entry['width'], height=entry['height']))
        for x1, y1, x2, y2 in entry['boxes']:
            box = [x1, y1, x2 - x1, y2 - y1]
            truth['annotations'].append(
                dict(
                    id=len(truth['annotations']) + 1, image_id=image_id, category_id=1, bbox=box, iscrowd=0,
                    area=box[2] * box[3],
                )
            )  # fmt: skip
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    coco = COCO(str(tmp_path / 'truth.json'))
    scorer = COCOeval(coco, coco.loadRes(str(tmp_path / 'new/coco.json')), 'bbox')
    scorer.evaluate(), scorer.accumulate(), scorer.summarize()
    assert scorer.stats[0] == pytest.approx(1)


def test_what_is_done_is_not_done_again(tool, photos, tmp_path, monkeypatch):
    assert tool(photos / 'a.png')[0] == 0
    out = tmp_path / 'detections'
    before = (out / 'a.png').stat().st_mtime_ns, entries(out)
    # A line that a kill cut short.
    with (out / 'detections.jsonl').open('a') as file:
        file.write('{"name": "e.jpg", "wi')
    status, output, errors = tool(photos)
    assert status == 0 and 'detecting: 3 in' in errors and '1 sources were done before' in output
    assert (out / 'a.png').stat().st_mtime_ns == before[0]
    assert [entry['name'] for entry in entries(out)] == ['a.png', *names_in(photos)[:2], 'e.jpg']
    assert '0 faces in 0 pictures' in tool(photos)[1]
    # Other settings or another network would mix with it.
    for arguments, message in (
        (dict(options=['--score', 0.5]), 'score 0.3, now 0.5'),
        (dict(options=['--blur', 'fill']), 'pictures frame, now fill'),
        (dict(options=[], checkpoint='b.pth'), 'network '),
    ):
        options = arguments.pop('options')
        status, _, errors = tool(photos, *options, **arguments)
        assert status == 1 and 'has results of other settings' in errors and message in errors
    (out / 'detections.jsonl').write_text('{}\nno json\n')
    assert 'detections.jsonl is damaged' in tool(photos)[2]


def test_another_picture_of_the_same_name_is_not_taken_for_done(tool, photos, tmp_path):
    """Cameras number their pictures anew for every card: faces that are taken for hidden would be published."""
    for folder, name in (('first', 'a.png'), ('second', 'Straße im Süden/b c.png')):
        (tmp_path / folder).mkdir()
        shutil.copy(photos / name, tmp_path / folder / 'IMG_1.png')
    assert tool('first', '--blur', 'fill')[0] == 0
    hidden = (tmp_path / 'detections/IMG_1.png').read_bytes()
    status, _, errors = tool('second', '--blur', 'fill')
    assert status == 1 and 'detections has results of 1 other files by the names of these' in errors
    assert 'IMG_1.png; name another --out' in errors
    assert (tmp_path / 'detections/IMG_1.png').read_bytes() == hidden
    assert tool('first', '--blur', 'fill')[0] == 0


@pytest.mark.parametrize('rate', [9.99, 25, 30000 / 1001, 59.94, 66.123, 119.883, 120.013, 239.7123, 1000.5])
def test_a_rate_that_the_format_cannot_hold_is_rounded(tmp_path, rate):
    """MPEG-4 has 16 bits for it: slow motion of a telephone would end the whole command."""
    frames = [np.full((32, 48, 3), 20 * i, np.uint8) for i in range(5)]
    with video.write_video(tmp_path / 'a.mp4', rate, (48, 32)) as writer:
        for frame in frames:
            writer.write(frame)
    read, found = read_video(tmp_path / 'a.mp4')
    assert len(read) == 5 and found == pytest.approx(rate, rel=1e-3)


def test_the_results_are_no_sources(tool, photos, tmp_path):
    for arguments in ((photos,), (f'{photos}/**/*.*',)):
        out = photos / f'out{len(str(arguments))}'
        for _ in range(2):
            assert tool(*arguments, '--out', out, '--crops', photos / 'crops')[0] == 0
        assert len(entries(out)) == 4
        for path in out.rglob('*'):
            path.unlink() if path.is_file() else None
    status, _, errors = tool(photos, '--out', photos)
    assert status == 1 and 'would be replaced by its own result' in errors
    status, _, errors = tool(photos / 'a.png', '--out', tmp_path)
    assert status == 1 and f'{tmp_path} is no folder of results, nor empty' in errors


def test_patterns_and_several_sources(tool, photos, tmp_path):
    assert tool(photos / '**/*c.png', photos / 'e.jpg', photos)[0] == 0
    assert sorted(entry['name'] for entry in entries(tmp_path / 'detections')) == names_in(photos)
    status, _, errors = tool(photos / 'a.png', tmp_path / 'detections/a.png', '--out', 'other')
    assert status == 1 and 'would both have their results in a.png' in errors


def test_pictures_of_all_kinds(tool, tmp_path):
    """16 bits, CMYK, turned, one pixel, a long strip; what is damaged is named, and hidden pictures stay hidden."""
    folder = tmp_path / 'kinds'
    folder.mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    picture = Image.fromarray(colours)
    picture.convert('CMYK').save(folder / 'cmyk.jpg')
    Image.fromarray(colours[..., 0].astype(np.uint16) * 257).save(folder / 'grey16.png')
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / 'turned.jpg', exif=exif)
    picture.resize((1, 1)).save(folder / 'one.png')
    picture.resize((20000, 3)).save(folder / 'strip.png')
    picture.save(folder / 'p.pgm')
    picture.save(folder / 'cut.jpg')
    (folder / 'cut.jpg').write_bytes((folder / 'cut.jpg').read_bytes()[:-300])
    (folder / 'empty.png').touch()
    (folder / 'notes.txt').touch()
    status, output, errors = tool(folder, '--score', 0, '--blur', 'fill')
    assert status == 0 and '2 could not be read' in output
    assert f'warning: cannot read {folder}/cut.jpg (' in errors and f'cannot read {folder}/empty.png (' in errors
    assert '.txt (1)' in errors
    good = ['cmyk.jpg', 'grey16.png', 'one.png', 'p.pgm', 'strip.png', 'turned.jpg']
    assert names_in(tmp_path / 'detections') == sorted([*good, 'detections.jsonl'])
    sizes = {entry['name']: (entry['width'], entry['height']) for entry in entries(tmp_path / 'detections')}
    assert sizes['turned.jpg'] == (40, 60) and sizes['strip.png'] == (20000, 3) and sizes['one.png'] == (1, 1)
    for name, size in sizes.items():
        assert Image.open(tmp_path / 'detections' / name).size == size
    status, _, errors = tool(folder / 'cut.jpg', '--out', 'other')
    assert status == 1 and 'none of the 1 sources could be read' in errors


@pytest.mark.parametrize('codec, name', [('mp4v', 'a.mp4'), ('MJPG', 'a.avi')])
def test_a_video_keeps_its_length_and_rate(tool, detector, toy_data, tmp_path, codec, name):
    pictures = [cv2.imread(str(path)) for path in sorted(toy_data.glob('WIDER_val/images/*/*.jpg'))]
    frames = [pictures[i // 3 % 4] for i in range(14)]
    (tmp_path / 'films').mkdir()
    write_video(tmp_path / f'films/{name}', frames, 12.5, codec)
    status, output, errors = tool('films', '--json', 'a.json', '--batch-size', 3)
    assert status == 0 and f'{name}: 14 in' in errors and 'in 14 pictures or frames' in output
    made, rate = read_video(tmp_path / 'detections/a.mp4')
    assert len(made) == 14 and rate == 12.5 and made[0].shape == frames[0].shape
    (entry,) = json.loads((tmp_path / 'a.json').read_text())
    assert (entry['name'], entry['rate'], entry['width'], len(entry['frames'])) == (name, 12.5, 96, 14)
    read, _ = read_video(tmp_path / f'films/{name}')
    for found, expected in zip(entry['frames'], detector.detect(read)):
        np.testing.assert_allclose(np.reshape(found['boxes'], (-1, 4)), expected.boxes, atol=1e-3)
    for image, source, found in zip(made, read, entry['frames']):
        drawn = draw_faces(source, np.float32(found['boxes']).reshape(-1, 4), np.float32(found['scores']))
        assert np.abs(image.astype(float) - drawn).mean() < np.abs(image.astype(float) - source).mean()


def test_a_face_that_a_frame_misses_stays_hidden(tool, toy_data, tmp_path, monkeypatch):
    picture = cv2.imread(str(next(iter(sorted(toy_data.glob('WIDER_val/images/*/*.jpg'))))))
    write_video(tmp_path / 'a.avi', [picture] * 4, 10, 'MJPG')
    detect = FaceDetector.detect
    calls = []

    def only_once(self, images, batch_size=1):
        calls.append(images)
        found = detect(self, images, batch_size)
        return (
            found
            if len(calls) == 1
            else [each._replace(boxes=each.boxes[:0], scores=each.scores[:0]) for each in found]
        )

    monkeypatch.setattr(FaceDetector, 'detect', only_once)
    assert tool('a.avi', '--blur', 'fill')[0] == 0
    frames, _ = read_video(tmp_path / 'detections/a.mp4')
    (entry,) = entries(tmp_path / 'detections')
    assert len(entry['frames'][0]['boxes']) and not entry['frames'][1]['boxes'] and len(frames) == 4
    for frame in frames:
        for box in entry['frames'][0]['boxes']:
            assert frame[pixels(box, frame.shape[:2])].mean() < 30


def test_bad_videos_and_cameras(tool, photos, tmp_path, monkeypatch):
    noise = list(np.random.default_rng(0).integers(0, 256, (9, 48, 64, 3), np.uint8))
    write_video(photos / 'ends.avi', noise, 10, 'MJPG')
    content = (photos / 'ends.avi').read_bytes()
    (photos / 'ends.avi').write_bytes(content[: len(content) // 2])
    write_video(photos / 'headless.mp4', noise, 10, 'mp4v')
    (photos / 'headless.mp4').write_bytes((photos / 'headless.mp4').read_bytes()[:4000])
    status, output, errors = tool(photos)
    assert status == 0 and '1 could not be read' in output
    assert 'headless.mp4: no frame can be read' in errors
    (told,) = [line for line in errors.splitlines() if 'ends.avi ends after' in line]
    count = int(told.split('after ')[1].split()[0])
    assert 0 < count < 9 and f'{count} of 9 frames' in told
    frames, _ = read_video(tmp_path / 'detections/ends.mp4')
    assert len(frames) == count
    assert len(entries(tmp_path / 'detections')) == 5 and not list((tmp_path / 'detections').rglob('*part*'))

    status, _, errors = tool('7', '--out', 'other')
    assert status == 1 and 'there is no camera 7' in errors
    write_video(tmp_path / 'seen.avi', noise, 10, 'MJPG')
    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, 'VideoCapture', lambda source: capture('seen.avi' if source == 0 else source))
    status, output, errors = tool('0', '--out', 'recorded')
    (entry,) = entries(tmp_path / 'recorded')
    assert status == 0 and entry['name'].startswith('camera0_2') and 'Ctrl-C ends it' in errors
    assert len(read_video(tmp_path / 'recorded' / entry['name'])[0]) == len(entry['frames'])


class Stream(BaseHTTPRequestHandler):
    """A camera on the network: ten JPEGs at /live, nothing elsewhere."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        if '/live' not in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=next')
        self.end_headers()
        for i in range(10):
            content = cv2.imencode('.jpg', np.full((48, 64, 3), 25 * i, np.uint8))[1].tobytes()
            self.wfile.write(b'--next\r\nContent-Type: image/jpeg\r\n\r\n' + content + b'\r\n')
            time.sleep(0.04)


def test_streams_are_recorded_and_their_passwords_told_to_nobody(tool, tmp_path):
    with ThreadingHTTPServer(('127.0.0.1', 0), Stream) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://user:secret@127.0.0.1:{server.server_port}'
        streams = [f'{address}/{name}&password=secret' for name in ('live?channel=1', 'live?channel=2', 'nobody')]
        status, output, errors = tool(*streams)
        lost = tool(streams[-1], '--out', 'other')
        server.shutdown()
    assert status == 0 and '1 could not be read' in output, errors
    assert 'no picture comes from 127.0.0.1' in errors and errors.count('Ctrl-C ends it') == 2
    assert lost[0] == 1 and 'no picture comes from 127.0.0.1' in lost[2]
    found = entries(tmp_path / 'detections')
    assert len({entry['name'] for entry in found}) == 2
    for entry in found:
        assert re.fullmatch(r'127\.0\.0\.1-[0-9a-f]{8}_\d{8}-\d{6}\.mp4', entry['name'])
        assert len(read_video(tmp_path / 'detections' / entry['name'])[0]) == len(entry['frames'])
    journal = (tmp_path / 'detections/detections.jsonl').read_text()
    assert not any('secret' in text for text in (output, errors, *lost[1:], journal))


def test_a_stream_may_be_the_first_of_several_sources_of_an_onnx_file():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(['student.onnx', 'rtsp://user@host/a', 'b.mp4'])
    assert args.checkpoint == 'rtsp://user@host/a'


def test_tiles_are_searched_on_request(tool, detector, toy_data, tmp_path):
    pictures = [cv2.imread(str(path)) for path in sorted(toy_data.glob('WIDER_val/images/*/*.jpg'))]
    large = np.vstack([np.hstack(pictures[:2]), np.hstack(pictures[2:])])
    cv2.imwrite('large.png', large)
    for size in (192, 120):
        assert tool('large.png', '--tile', size, '--no-pictures', '--out', f'out{size}')[0] == 0
    whole, tiled = (entries(tmp_path / f'out{size}')[0] for size in (192, 120))
    np.testing.assert_allclose(np.reshape(whole['boxes'], (-1, 4)), detector.detect([large])[0].boxes, atol=1e-3)
    assert len(tiled['boxes']) > len(whole['boxes'])


def command_line(network, *arguments):
    words = [sys.executable, '-m', 'askd_mmdet', 'detect', network / 'config.py', network / 'a.pth', *arguments]
    return list(map(str, words))


def environment():
    return dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')


def test_interrupted_it_goes_on(tool, network, photos, tmp_path):
    """A real Ctrl-C after the first picture: what is there is whole, and the second call does the rest."""
    source = cv2.imread(str(photos / 'a.png'))
    for i in range(300):  # so many that on a busy machine it is not done before we look
        cv2.imwrite(str(photos / f'many {i:03}.png'), source)
    process = subprocess.Popen(
        command_line(network, photos), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    out = tmp_path / 'detections'
    while process.poll() is None and len(list(out.glob('*.png'))) < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and 'Interrupted. The same command goes on' in errors and 'Traceback' not in errors
    done = entries(out)
    assert 0 < len(done) < 304
    assert {entry['name'] for entry in done} | {'detections.jsonl'} <= set(names_in(out))
    assert not list(out.rglob('*.part*'))
    for entry in done:
        Image.open(out / entry['name']).load()
    status, output, _ = tool(photos)
    assert status == 0 and f'{len(done)} sources were done before' in output
    assert len(entries(out)) == 304 and len({entry['name'] for entry in entries(out)}) == 304


def test_a_full_disk_loses_nothing(network, photos, tmp_path):
    """A limit on the size of files stands for the disk."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)).save(photos / 'z.png')
    names = sorted(names_in(photos), key=lambda name: name.split('/'))
    done = subprocess.run(
        command_line(network, photos),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 1 and 'z.png' in names[-1]
    assert done.stderr.splitlines()[-1].startswith('askd detect: error: [Errno 27] File too large')
    assert [entry['name'] for entry in entries(tmp_path / 'detections')] == names[:-1]
    assert names_in(tmp_path / 'detections') == sorted([*names[:-1], 'detections.jsonl'])


def test_mistakes_are_one_sentence(tool, photos, tmp_path):
    (tmp_path / 'empty').mkdir()
    for arguments, status, message in (
        (['nowhere.jpg'], 1, 'nowhere.jpg does not exist; expected a picture, a video, a folder'),
        (['empty'], 1, 'empty holds no picture or video'),
        (['photos/*.gif'], 1, 'fits the pattern photos/*.gif'),
        ([photos, '--score', 2], 1, 'min_score=2.0'),
        ([photos, '--margin', -1], 1, '--margin=-1.0'),
        ([photos, '--tile', 0], 2, '--tile: 0 is less than 1'),
        ([photos, '--blur', 'smear'], 2, "invalid choice: 'smear'"),
        ([photos, '--classes', 3], 1, 'knows 1 classes'),
        ([photos, '--cfg-options', 'modle.a=1'], 1, 'nothing reads the setting modle.a'),
    ):
        found, output, errors = tool(*arguments)
        assert (found, output) == (status, '') and message in errors, errors
    assert not (tmp_path / 'detections').exists()


def test_the_help_says_what_is_not_kept():
    assert 'not their sound' in command.__doc__
