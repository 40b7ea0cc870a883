"""WIDER FACE's average precision as an MMEngine metric (table 5)."""

import logging
from pathlib import Path

from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from askd_mmdet.detection.submission import write_detections
from askd_mmdet.detection.wider_face_protocol import Matches, WiderFaceScore, load_ground_truth, match_image
from askd_mmdet.training.files import first_names
from askd_mmdet.training.settings import check_choice, check_type


@METRICS.register_module()
class WiderFaceMetric(BaseMetric):
    """AP on the easy, medium and hard faces by the official protocol, in %.

    Every detection is matched at once and only its score and a byte are kept, so that even the
    tens of millions of detections of an uncapped TinaFace need little memory. A picture that could
    not be read (see `WiderFaceTxtDataset`) counts as one without detections.

    Args:
        ground_truth: Folder of the official .mat files, `eval_tools/ground_truth`.
        submission_dir: Where to write the detections in the submission format, `event/stem.txt`.
        collect_device: 'cpu' or 'gpu', see BaseMetric.
        prefix: Of the names of the metrics; 'wider_face' by default.

    Raises:
        FileNotFoundError: When a file of the ground truth is missing.
        ValueError: When the ground truth is damaged; in :meth:`process`, when it does not have an
            image, or when a score or box is not finite.
    """

    default_prefix = 'wider_face'

    def __init__(
        self,
        ground_truth: str,
        submission_dir: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ):
        check_type('WiderFaceMetric', 'ground_truth', ground_truth, str, Path)
        check_type('WiderFaceMetric', 'submission_dir', submission_dir, str, Path, None)
        check_choice('WiderFaceMetric', 'collect_device', collect_device, ('cpu', 'gpu'))
        super().__init__(collect_device, prefix)
        self.ground_truth = load_ground_truth(ground_truth)
        self.submission_dir = submission_dir

    def process(self, data_batch: dict, data_samples: list[dict]) -> None:
        """Match the detections of a batch, and write them where `submission_dir` says so.

        Args:
            data_batch: Not used.
            data_samples: For each image `img_path` and `pred_instances`, with bboxes as x1, y1,
                x2, y2 in pixels of the original image, (N, 4), and scores (N,).
        """
        for sample in data_samples:
            path = Path(sample['img_path'])
            name = f'{path.parent.name}/{path.stem}'
            found = 0 if sample.get('unreadable') else None
            # In float32, which the files hold exactly.
            corners, scores = (
                sample['pred_instances'][key][:found].detach().cpu().float().numpy() for key in ('bboxes', 'scores')
            )
            boxes = corners.copy()
            boxes[:, 2:] -= boxes[:, :2]
            self.results.append((name, match_image(self.ground_truth, name, boxes, scores)))
            if self.submission_dir:
                write_detections(self.submission_dir, name, boxes, scores)

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """AP of the images that all processes have seen; the others count as missed.

        Args:
            results: Name and matches of every image. One that comes twice counts once.
        """
        score = WiderFaceScore(self.ground_truth, {name: Matches(*matches) for name, matches in results})
        if missing := score.missing:
            print_log(
                f'{len(missing)} of the {len(self.ground_truth)} images of the ground truth were not evaluated, and '
                f'their faces count as missed: {first_names(missing)}',
                'current',
                logging.WARNING,
            )
        return {setting: 100 * ap for setting, ap in score.average_precision().items()}
