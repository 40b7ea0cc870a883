"""What does not wait, by a camera whose frames the test hands out: seen as it is now, ended at once, and never lost."""

import signal
import sys
import threading
import time

import cv2
import numpy as np
import pytest

from askd_mmdet.detection.detector import Detections
from askd_mmdet.detection.finding import Output, find_faces
from askd_mmdet.detection.results import Journal
from askd_mmdet.detection.sources import Source
from askd_mmdet.detection.video import open_video

SOURCE = Source('camera.mp4', 0)
SECONDS = 20  # after which a test that hangs fails


def picture(number):
    return np.full((48, 64, 3), number, np.uint8)


class Camera:
    """Stands for OpenCV's capture; `show` hands out frames, numbers or an error, and waits until they are read."""

    def __init__(self):
        self.frames, self.changed = [picture(0)], threading.Condition()
        self.is_asked, self.is_released = False, False

    def show(self, *frames):
        for frame in frames:
            with self.changed:
                self.is_asked = False
                self.frames.append(picture(frame) if isinstance(frame, int) else frame)
                self.changed.notify_all()
                # Whoever asks for the next one has kept this one.
                assert frame is None or self.changed.wait_for(lambda: self.is_asked, SECONDS)

    def read(self):
        with self.changed:
            self.is_asked = not self.frames
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.frames)
            frame = self.frames.pop(0)
        if isinstance(frame, Exception):
            raise frame
        return frame is not None, frame

    def get(self, what):
        return 25.0 if what == cv2.CAP_PROP_FPS else 0.0

    def release(self):
        self.is_released = True


@pytest.fixture
def camera(monkeypatch):
    camera, capture = Camera(), cv2.VideoCapture
    monkeypatch.setattr(cv2, 'VideoCapture', lambda source: camera if source == 0 else capture(source))
    return camera


def numbers(images):
    return [int(image[0, 0, 0]) for image in images]


def nothing(images):
    return [Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32)) for _ in images]


def wait_until_the_main_thread_waits():
    end = time.monotonic() + SECONDS
    while sys._current_frames()[threading.main_thread().ident].f_code is not threading.Condition.wait.__code__:
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.2)  # it sleeps by now


def run(tmp_path, detect):
    journal = Journal(tmp_path / 'out', {})
    counts = find_faces(journal.missing([SOURCE]), detect, journal, Output(tmp_path / 'out'))
    return counts, list(journal.entries())


def test_the_newest_frame_is_seen_and_the_last_one_is_not_lost(camera):
    with open_video(0) as video:
        assert video.is_live
        frames = iter(video.frames)
        assert numbers([next(frames)]) == [0]
        camera.show(1, 2, 3)
        assert numbers([next(frames)]) == [3]
        camera.show(4, None)
        assert numbers(frames) == [4]
    assert camera.is_released


def test_a_search_begins_with_what_is_newest_then(camera, tmp_path):
    """Frames that came while the search before went on are not waiting in between."""
    seen = []

    def detect(images):
        seen.extend(numbers(images))
        if seen[-1] == 0:
            camera.show(1, 2, 3)
        elif seen[-1] == 3:
            camera.show(4, 5, 6, None)
        return nothing(images)

    counts, (entry,) = run(tmp_path, detect)
    assert seen == [0, 3, 6] and counts.unreadable == 0 and camera.is_released
    capture = cv2.VideoCapture(str(tmp_path / 'out/camera.mp4'))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == len(entry['frames'])


def test_an_error_of_the_camera_ends_the_recording_with_it(camera, tmp_path):
    camera.frames.append(cv2.error('driver'))
    with pytest.raises(cv2.error, match='driver'):
        run(tmp_path, nothing)
    assert camera.is_released


@pytest.mark.parametrize('frame', [None, 7], ids=['silent', 'working'])
def test_an_interrupt_keeps_what_was_recorded_of_a_camera_that_is(camera, tmp_path, frame):
    searched = threading.Event()

    def detect(images):
        searched.set()
        return nothing(images)

    def interrupt():
        assert searched.wait(SECONDS)
        if frame:
            camera.show(frame)
        wait_until_the_main_thread_waits()
        # In this thread, so that nothing wakes the main one: as when it was just about to wait as the signal came.
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt).start()
    counts, (entry,) = run(tmp_path, detect)
    assert entry['name'] == 'camera.mp4' and counts.unreadable == 0
    camera.show(None)


def test_an_error_of_the_network_is_not_taken_for_one_of_the_camera(camera, tmp_path):
    def detect(images):
        raise RuntimeError('out of memory')

    with pytest.raises(RuntimeError, match='out of memory'):
        run(tmp_path, detect)
