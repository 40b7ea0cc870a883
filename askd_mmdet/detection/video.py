"""Videos: their frames, and files of equal length and rate. Sound is not kept."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread
from typing import NamedTuple
from urllib.parse import urlsplit

import cv2
import numpy as np

from askd_mmdet.training.files import part_of

# FFmpeg prints what we say in a sentence. OpenCV reads this before its first video.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')

_USUAL_RATE = 25.0  # of videos and cameras that do not tell theirs
_PATIENCE = 2.0  # seconds, for a camera that is silent when it is left
_NAP = 0.5  # seconds, the longest that an interrupt may stay unnoticed


class Video(NamedTuple):
    """An open video.

    Attributes:
        frames: BGR uint8 (H, W, 3) each.
        rate: Frames per second.
        count: Frames that its header tells of; 0 where it does not, as of a camera.
        size: Width and height in pixels.
        is_live: Whether it does not wait: frames that come while nobody asks for one are passed over.
    """

    frames: Iterator[np.ndarray]
    rate: float
    count: int
    size: tuple[int, int]
    is_live: bool


@contextmanager
def quiet() -> Iterator[None]:
    """No lines of OpenCV's own."""
    before = cv2.getLogLevel()
    cv2.setLogLevel(0)
    try:
        yield
    finally:
        cv2.setLogLevel(before)


@contextmanager
def open_video(source: Path | int | str) -> Iterator[Video]:
    """Open a video file, the camera of a number, or the stream of an address (`rtsp://...`).

    Raises:
        ValueError: When there is no such camera, nothing comes from the address, or the file is no video, damaged at
            its head, or in a format that OpenCV does not know.
    """
    with quiet():
        capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        is_read, first = capture.read()
    if not is_read:
        capture.release()
        if isinstance(source, int):
            raise ValueError(f'there is no camera {source}, or another program has it; the first one is 0')
        if isinstance(source, str):
            raise ValueError(
                f'no picture comes from {urlsplit(source).hostname}: is it on and reachable from here, and are path, '
                'user and password right in the address (rtsp://user:password@host/path)?'
            )
        raise ValueError(f'{source}: no frame can be read: it is damaged, or in a format that OpenCV does not know')
    rate, count = capture.get(cv2.CAP_PROP_FPS), max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    is_live = isinstance(source, int) or (isinstance(source, str) and not count)  # an address may be that of a file
    known = math.isfinite(rate) and 0 < rate <= 1000
    about = rate if known else _USUAL_RATE, count, first.shape[1::-1], is_live
    if is_live:
        live = _Live(capture, first)
        try:
            yield Video(live.frames(), *about)
        finally:
            live.end()
            live.reader.join(_PATIENCE)
        return
    try:
        yield Video(_all(capture, first), *about)
    finally:
        capture.release()


def _all(capture, frame):
    while frame is not None:
        yield frame
        _, frame = capture.read()


class _Live:
    """Reads in a thread what would fill its buffers, fall behind and break off if it were read slowly."""

    def __init__(self, capture, first):
        self.capture = capture
        self.newest, self.error, self.ended = first, None, False
        self.changed = Condition()
        self.reader = Thread(target=self._read, daemon=True)  # a camera that falls silent holds nobody
        self.reader.start()

    def frames(self) -> Iterator[np.ndarray]:
        """The newest frame at each time; an error of the reader comes when there is no more."""
        while True:
            with self.changed:
                # An interrupt as the wait begins wakes nobody, and is noticed when it ends.
                while not self.changed.wait_for(lambda: self.ended or self.newest is not None, _NAP):
                    pass
                frame, self.newest = self.newest, None
            if frame is None:
                break
            yield frame
        if self.error:
            raise self.error

    def end(self) -> None:
        with self.changed:
            self.ended, self.newest = True, None
            self.changed.notify_all()

    def _read(self):
        try:
            while not self.ended:
                is_read, frame = self.capture.read()
                if not is_read:
                    break
                with self.changed:
                    if not self.ended:
                        self.newest = frame
                    self.changed.notify_all()
        except Exception as error:  # OpenCV's, or of memory: whoever waits for a frame has to know
            self.error = error
        finally:
            self.capture.release()
            with self.changed:
                self.ended = True
                self.changed.notify_all()


@contextmanager
def write_video(path: Path, rate: float, size: tuple[int, int]) -> Iterator['_Counted']:
    """A writer (`write(frame)`) of frames BGR uint8 (H, W, 3) into an MP4 file, which is there when it is whole.

    An odd column or row at the right or the bottom is left out, and of the rate what the format cannot hold.

    Raises:
        OSError: When it cannot be written, as on a full disk.
    """
    # OpenCV takes a fraction over a power of ten, whose numerator has 16 bits in MPEG-4.
    rate = round(rate, int(math.log10(0xFFFF / rate)))
    with part_of(path, '.mp4') as part:
        with quiet():
            writer = cv2.VideoWriter(str(part), cv2.VideoWriter_fourcc(*'mp4v'), rate, size)
        if not writer.isOpened():
            raise OSError(f'{path} cannot be written as MPEG-4 video: is there room, and OpenCV built with FFmpeg?')
        counted = _Counted(writer)
        try:
            yield counted
        finally:
            writer.release()
        # The writer does not say when the disk is full.
        with quiet():
            written = cv2.VideoCapture(str(part))
            count = written.get(cv2.CAP_PROP_FRAME_COUNT) if written.isOpened() else 0
            written.release()
        if count != counted.frames:
            raise OSError(f'{path}: {counted.frames} frames were written and {count:.0f} arrived; is the disk full?')


class _Counted:
    def __init__(self, writer):
        self.writer = writer
        self.frames = 0

    def write(self, frame: np.ndarray) -> None:
        try:
            self.writer.write(frame)
        finally:  # an interrupt that came meanwhile is raised here, when the frame is written
            self.frames += 1
