"""Trained networks by what a command line names: a config and a checkpoint for torch, or an ONNX file instead."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from askd_mmdet.training.config import load_config, override, parse_overrides
from askd_mmdet.training.pictures import read_picture

ONNX = '.onnx'


def open_embedder(
    config: str,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    degrade: bool = False,
    options: Sequence[str] = (),
):
    """A FaceEmbedder, or an OnnxFaceEmbedder, which have the same methods.

    Args:
        config: A config, see `find_config`, or a file of `askd export`, *.onnx.
        checkpoint: The weights; None with an ONNX file, which holds its own.
        device: See there.
        degrade: See FaceEmbedder.
        options: `NAME=VALUE` to override settings of the config.

    Raises:
        FileNotFoundError, ValueError: See there; also for a setting that nothing reads, a config without checkpoint,
            and an ONNX file with one, with options or with `degrade`.
    """
    if is_onnx(config, checkpoint, degrade, options):
        return _runner().OnnxFaceEmbedder(config, device, read_picture)
    from askd_mmdet.recognition.embedder import FaceEmbedder

    return FaceEmbedder(overridden_config(config, options), checkpoint, device, degrade)


def build_embedder(args: Namespace):
    """The embedder that a command line asks for, see `askd_mmdet.arguments.add_network` and :func:`open_embedder`."""
    return open_embedder(args.config, args.checkpoint, args.device, args.degrade, args.cfg_options)


def open_detector(
    config: str,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    degrade: bool = False,
    options: Sequence[str] = (),
    min_score: float = 0.3,
    classes: Sequence[int] | None = None,
):
    """A FaceDetector, or an OnnxFaceDetector, which have the same methods; see :func:`open_embedder`.

    Args:
        min_score: Detections of lower scores are left out.
        classes: The labels that mean a face, for a config; an ONNX file knows one.
    """
    if is_onnx(config, checkpoint, degrade, options):
        if classes is not None:
            raise ValueError(f'{config} knows faces alone: name no --classes')
        return _runner().OnnxFaceDetector(config, device, min_score, read_picture)
    from askd_mmdet.detection.detector import FaceDetector

    return FaceDetector(overridden_config(config, options), checkpoint, device, degrade, min_score, classes)


def is_onnx(config: str, checkpoint: str | Path | None, degrade: bool = False, options: Sequence[str] = ()) -> bool:
    """Whether an ONNX file stands in the place of config and checkpoint.

    Raises:
        ValueError: When what stands beside it does not fit.
    """
    given = Path(config).suffix == ONNX
    if given and (checkpoint or degrade or options):
        raise ValueError(
            f'{config} holds its own weights and settings: name no checkpoint, no --degrade and no --cfg-options'
        )
    if not given and not checkpoint:
        raise ValueError(f'expected a checkpoint after the config {config}, or an ONNX file (*{ONNX}) instead of both')
    return given


def overridden_config(name: str, options: Sequence[str] = ()) -> Config:
    """A config with its settings overridden."""
    cfg = load_config(name)
    override(cfg, parse_overrides(list(options)))
    return cfg


def _runner():
    try:
        from askd_mmdet.export import runner
    except ModuleNotFoundError as error:
        raise ValueError(f"onnxruntime is not installed ({error}): pip install 'askd_mmdet[onnx]'") from error
    return runner
