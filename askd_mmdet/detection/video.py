"""Videos: their frames, and files of equal length and rate. Sound is not kept."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from askd_mmdet.training.files import part_of

# FFmpeg prints what we say in a sentence. OpenCV reads this before its first video.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')

_USUAL_RATE = 25.0  # of videos and cameras that do not tell theirs


class Video(NamedTuple):
    """An open video.

    Attributes:
        frames: BGR uint8 (H, W, 3) each.
        rate: Frames per second.
        count: Frames that its header tells of; 0 where it does not, as of a camera.
        size: Width and height in pixels.
    """

    frames: Iterator[np.ndarray]
    rate: float
    count: int
    size: tuple[int, int]


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
def open_video(source: Path | int) -> Iterator[Video]:
    """Open a video file, or the camera of a number.

    Raises:
        FileNotFoundError: When there is no such camera.
        ValueError: When the file is no video, damaged at its head, or in a format that OpenCV does not know.
    """
    with quiet():
        capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        is_read, first = capture.read()
    if not is_read:
        capture.release()
        if isinstance(source, int):
            raise FileNotFoundError(f'there is no camera {source}, or another program has it; the first one is 0')
        raise ValueError(f'{source}: no frame can be read: it is damaged, or in a format that OpenCV does not know')
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)

    def frames():
        frame = first
        while frame is not None:
            yield frame
            _, frame = capture.read()

    try:
        known = math.isfinite(rate) and 0 < rate <= 1000
        yield Video(frames(), rate if known else _USUAL_RATE, max(int(count), 0), first.shape[1::-1])
    finally:
        capture.release()


@contextmanager
def write_video(path: Path, rate: float, size: tuple[int, int]) -> Iterator['_Counted']:
    """A writer (`write(frame)`) of frames BGR uint8 (H, W, 3) into an MP4 file, which is there when it is whole.

    An odd column or row at the right or the bottom is left out, as the format cannot hold it.

    Raises:
        OSError: When it cannot be written, as on a full disk.
    """
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
        self.writer.write(frame)
        self.frames += 1
