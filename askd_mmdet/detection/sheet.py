"""A sheet of validation pictures: HR, LR, and what two students find in LR."""

from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config

from askd_mmdet.degradation import low_resolution
from askd_mmdet.detection.submission import read_detections
from askd_mmdet.detection.wider_face_dataset import read_annotations


def draw(cfg: Config, submissions: list[Path], path: Path, count: int = 6, zoom: int = 2) -> None:
    """A sheet of validation pictures, the fullest of every event: HR, LR, and what both students find in LR.

    As many detections are drawn as there are faces, best first: green on a face (IoU >= 0.5), red beside.
    """
    dataset = cfg.test_dataloader.dataset
    images = Path(dataset.data_root, dataset.data_prefix.img_path)
    annotations = read_annotations(Path(dataset.data_root, dataset.ann_file))
    fullest = {}
    for name, faces, _ in sorted(annotations, key=lambda item: len(item[1])):
        fullest[name.split('/')[0]] = name, faces
    rows = []
    for name, faces in sorted(fullest.values(), key=lambda item: -len(item[1]))[:count]:
        hr = cv2.imread(str(images / name))
        lr = low_resolution(hr, dataset.pipeline[-1].ratio)
        panels = [outline(hr, faces, faces, zoom), outline(lr, faces[:0], faces, zoom)]
        for folder in submissions:
            boxes, scores = read_detections((folder / name).with_suffix('.txt'))
            panels.append(outline(lr, boxes[np.argsort(-scores)[: len(faces)]], faces, zoom))
        rows.append(np.hstack(panels))
    width = max(row.shape[1] for row in rows)
    rows = [cv2.copyMakeBorder(row, 4, 0, 0, width - row.shape[1], cv2.BORDER_CONSTANT) for row in rows]
    title = np.zeros((28, width, 3), np.uint8)
    for i, text in enumerate(('HR, faces', 'LR', 'LR base', 'LR A-SKD')):
        cv2.putText(title, text, (8 + i * width // 4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1)
    cv2.imwrite(str(path), np.vstack([title, *rows]))


def outline(image: np.ndarray, boxes: np.ndarray, faces: np.ndarray, zoom: int) -> np.ndarray:
    image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    for x, y, w, h in boxes:
        left, top = np.maximum(faces[:, :2], (x, y)).T
        right, bottom = np.minimum(faces[:, :2] + faces[:, 2:], (x + w, y + h)).T
        shared = (right - left).clip(0) * (bottom - top).clip(0)
        hit = (shared / (w * h + faces[:, 2] * faces[:, 3] - shared)).max() >= 0.5
        corners = np.round(zoom * np.array([[x, y], [x + w, y + h]])).astype(int).tolist()
        cv2.rectangle(image, *corners, (0, 220, 0) if hit else (0, 0, 230), 1, cv2.LINE_AA)
    return image
