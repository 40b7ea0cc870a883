"""Settings of the wrong type or range are refused where they are given, in a sentence that names them."""

import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from askd_mmdet import classification, detection, recognition, toy
from askd_mmdet.attention import CBAM, ChannelAttention, SpatialAttention
from askd_mmdet.degradation import LowResolution, low_resolution
from askd_mmdet.distillation import (
    AttentionSimilarityLoss,
    AttentionTransferLoss,
    ChannelWiseLoss,
    ClassRelationLoss,
    DistillationHook,
    FeatureLoss,
    FeatureSimilarityLoss,
    HybridOrderRelationLoss,
    LogitLoss,
    MaskedGenerationLoss,
    NormalisedFeatureLoss,
    RelationLoss,
)
from askd_mmdet.experiments import run_jobs, seconds_of
from askd_mmdet.recognition.alignment import TEMPLATE
from askd_mmdet.training import LoadPicture, UnreadableImagesHook, build_model, held_out_split, read_checkpoint

NAN, INF = float('nan'), float('inf')


class PackNothing:
    """What LowResolution takes for the packing transform."""

    def __call__(self, results):
        return results


def lr_transform(**settings):
    return LowResolution(**dict(transforms=[PackNothing()], ratio=4) | settings)


def lr_picture(**settings):
    return low_resolution(np.zeros((8, 8), np.uint8), **dict(ratio=2) | settings)


def logits(**settings):
    return LogitLoss('head.fc', **settings)


def generation(**settings):
    return MaskedGenerationLoss(**dict(channels=[4]) | settings)


def hook(**settings):
    given = dict(
        teacher=dict(model=dict(type='IRResNet')),
        checkpoint='a.pth',
        losses=dict(loss_feature=dict(type='FeatureLoss')),
    )
    return DistillationHook(**given | settings)


def head(**settings):
    test = dict(score_alpha=0.4, min_box_side=1, min_face_height=9)
    test = test | {key: settings.pop(key) for key in list(settings) if key in test}
    test = {key: value for key, value in test.items() if value is not None}
    return detection.IoUAwareRetinaHead(**dict(num_classes=1, in_channels=8, test_cfg=test) | settings)


def ir_resnet(**settings):
    return recognition.IRResNet(**dict(depth=18, base_channels=2, input_size=16, embedding_dims=4) | settings)


def arcface(**settings):
    return recognition.ArcFaceHead(**dict(num_classes=3, in_channels=4) | settings)


def faces(**settings):
    return recognition.FaceFolderDataset(**dict(data_root='gone', pipeline=[]) | settings)


def records(**settings):
    return recognition.FaceRecordDataset(**dict(ann_file='gone.rec', pipeline=[]) | settings)


def cifar(**settings):
    return classification.Cifar10Dataset(**dict(data_root='gone', split='train', pipeline=[]) | settings)


def held_out(**settings):
    return held_out_split(**dict(dataset=dict(type='x'), part='rest') | settings)


def embedder(**settings):
    return recognition.FaceEmbedder(**dict(config=Config(dict(model={})), checkpoint='a.pth') | settings)


def verify(**settings):
    return recognition.verify(np.eye(20), np.eye(20), np.arange(20) % 2, **settings)


def identify(**settings):
    return recognition.identification_ranks(np.eye(2), [0, 1], np.eye(2), [0, 1], **settings)


def search(**settings):
    return recognition.search(np.eye(2), np.eye(2), **settings)


def align(**settings):
    return recognition.align(np.zeros((112, 112), np.uint8), TEMPLATE, **settings)


def cmc(**settings):
    return recognition.match_characteristic(np.array([1, 2]), **settings)


def toy_faces(**settings):
    return toy.make_face_identities('toy', **settings)


def toy_pictures(**settings):
    return toy.make_picture_classes('toy', **settings)


def toy_wider_face(**settings):
    return toy.make_wider_face('toy', **settings)


NOT_WHOLE = ('4', 2.5, True, None, [4], NAN)
NOT_FINITE = ('4', NAN, INF, True, None, [4])
NO_TEXT = (5, ['*.a'], '')
NO_FLAG = ('no', 1, None)

# What is built, the setting that is wrong, and values that it must not have.
WRONG = [
    (ChannelAttention, 'in_channels', (0, *NOT_WHOLE)),
    (lambda **s: ChannelAttention(4, **s), 'reduction', (0, -1, *NOT_WHOLE)),
    (lambda **s: CBAM(4, **s), 'reduction', (0, *NOT_WHOLE)),
    (lambda **s: CBAM(4, **s), 'kernel_size', (0, -3, *NOT_WHOLE)),
    (lambda **s: CBAM(4, **s), 'bias', NO_FLAG),
    (SpatialAttention, 'kernel_size', (0, *NOT_WHOLE)),
    (SpatialAttention, 'bias', NO_FLAG),
    (lr_transform, 'ratio', ('4', NAN, INF, True, 0.5, -2, [], [2, '4'], [2, NAN], np.array(4))),
    (lambda **s: lr_transform(ratio=None, **s), 'size', ('24', 24.0, True, 0, (24, 0), (24,), [24, 24, 24], NAN)),
    (lr_transform, 'sigma', (-1, *NOT_FINITE)),
    (lr_transform, 'recipe', ('bicubic', 3, None, ['paper'])),
    (lr_transform, 'keep_hr', NO_FLAG),
    (lr_transform, 'keep_mirrored', NO_FLAG),
    (lr_picture, 'ratio', ('4', NAN, INF, True, 0.5, [2, 4])),
    (lambda **s: lr_picture(ratio=None, **s), 'size', ('24', 24.0, 0, (24,))),
    (lr_picture, 'sigma', (-1, *NOT_FINITE)),
    *(
        (loss, 'weight', (-1, *NOT_FINITE))
        for loss in (
            AttentionSimilarityLoss,
            AttentionTransferLoss,
            ChannelWiseLoss,
            ClassRelationLoss,
            FeatureLoss,
            FeatureSimilarityLoss,
            generation,
            HybridOrderRelationLoss,
            logits,
            NormalisedFeatureLoss,
            RelationLoss,
        )
    ),
    (AttentionSimilarityLoss, 'channel', NO_TEXT),
    (AttentionSimilarityLoss, 'spatial', NO_TEXT),
    (AttentionSimilarityLoss, 'maps', ('tanh', 1, None)),
    (AttentionTransferLoss, 'distance', ('l1', 2, None)),
    (logits, 'temperature', (0, -4, *NOT_FINITE)),
    (logits, 'scale', (0, -32, *NOT_FINITE)),
    (HybridOrderRelationLoss, 'orders', (1.0, (1, 1), (1, 1, '1'), (1, 1, NAN), (1, 1, -1), None)),
    (RelationLoss, 'distances', (-1, *NOT_FINITE)),
    (RelationLoss, 'angles', (-1, *NOT_FINITE)),
    (ChannelWiseLoss, 'temperature', (0, -4, *NOT_FINITE)),
    (ClassRelationLoss, 'between', (-1, *NOT_FINITE)),
    (ClassRelationLoss, 'within', (-1, *NOT_FINITE)),
    (ClassRelationLoss, 'temperature', (0, -4, *NOT_FINITE)),
    (generation, 'channels', (256, [], [0], [4, 2.5], ['4'], None)),
    (generation, 'ratio', (1, -0.1, *NOT_FINITE)),
    (hook, 'losses', ({}, None, ['loss'], 'loss')),
    (lambda loss_x: hook(losses=dict(loss_x=loss_x)), 'loss_x', (None, 'FeatureLoss', {})),
    (hook, 'checkpoint', (None, 5, '', ['a.pth'])),
    (hook, 'dtype', ('int8', 16, '')),
    (hook, 'teacher', (None, 5, [], '', {})),
    (lambda model: hook(teacher=dict(model=model)), 'model', (None, 5, {})),
    (detection.InceptionContext, 'channels', (0, 6, -4, *NOT_WHOLE)),
    (lambda **s: detection.InceptionContext(8, **s), 'norm_cfg', ('BN', 5, {})),
    (detection.SquareCrop, 'scales', (0.5, '0.5', (), (0,), (1.5,), (NAN,), ('0.5',), (True,), None)),
    (detection.SquareCrop, 'tries', (0, *NOT_WHOLE)),
    (detection.ClippedPhotoMetricDistortion, 'prob', (-0.1, 1.5, *NOT_FINITE)),
    (detection.ClippedPhotoMetricDistortion, 'brightness_delta', (-1, *NOT_FINITE)),
    (detection.ClippedPhotoMetricDistortion, 'contrast_range', (0.5, (0.5,), (-1, 1), ('1', 2), (1, NAN))),
    (detection.ClippedPhotoMetricDistortion, 'saturation_range', (0.5, (0.5,), (-1, 1), ('1', 2), (1, NAN))),
    (detection.ClippedPhotoMetricDistortion, 'hue_delta', (-1, *NOT_FINITE)),
    (detection.ClippedPhotoMetricDistortion, 'swap_channels', ('no', 1, None)),
    (lambda **s: detection.WiderFaceTxtDataset(data_root='gone', **s), 'ignore_invalid', ('no', 1, None)),
    (head, 'score_alpha', (-0.1, 1.1, '0.4', NAN, True, None)),
    (head, 'min_box_side', (-1, '1', NAN, INF, None)),
    (head, 'min_face_height', (-1, '9', NAN, INF, None)),
    (head, 'num_classes', (2, 80)),
    (detection.WiderFaceMetric, 'ground_truth', (None, 5, '')),
    (lambda **s: detection.WiderFaceMetric('gone', **s), 'submission_dir', (5, True, '')),
    (lambda **s: detection.WiderFaceMetric('gone', **s), 'collect_device', ('cuda', 0, None)),
    (ir_resnet, 'depth', (34, '50', None, [50])),
    (ir_resnet, 'attention', ('stage', True, None)),
    (ir_resnet, 'cbam', (None, 'CBAM', {})),
    (ir_resnet, 'base_channels', (0, *NOT_WHOLE)),
    (ir_resnet, 'embedding_dims', (0, *NOT_WHOLE)),
    (ir_resnet, 'input_size', (0, 40, -16, *NOT_WHOLE)),
    (ir_resnet, 'dropout', (-0.1, 1.5, '0.4', NAN, True, None)),
    (arcface, 'num_classes', (0, *NOT_WHOLE)),
    (arcface, 'in_channels', (0, *NOT_WHOLE)),
    (arcface, 'num_subcenters', (0, *NOT_WHOLE)),
    (arcface, 'scale', (0, -32, *NOT_FINITE)),
    (arcface, 'margins', (-0.1, 4, *NOT_FINITE)),
    (recognition.VerificationMetric, 'folds', (1, *(value for value in NOT_WHOLE if value is not None))),
    (recognition.VerificationMetric, 'out_dir', (5, True, '')),
    (recognition.VerificationMetric, 'collect_device', ('cuda', None)),
    (recognition.IdentificationMetric, 'ranks', (5, (), (0,), (1.5,), ('1',), None)),
    (faces, 'min_pictures', (0, *NOT_WHOLE)),
    (faces, 'data_root', (None, 5, '')),
    (records, 'min_pictures', (0, *NOT_WHOLE)),
    (records, 'ann_file', (None, 5, '')),
    (recognition.PairBundleDataset, 'ann_file', (None, 5, '')),
    (recognition.PairListDataset, 'ann_file', (None, 5, '')),
    (recognition.TinyFaceDataset, 'data_root', (None, 5, '')),
    (cifar, 'data_root', (None, 5, '')),
    (cifar, 'split', ('val', 1, None)),
    (LoadPicture, 'to_float32', NO_FLAG),
    (embedder, 'config', (None, 5, '')),
    (embedder, 'checkpoint', (None, 5, '')),
    (embedder, 'degrade', NO_FLAG),
    (verify, 'folds', (1, '10', 2.5, True)),
    (identify, 'block', (0, *NOT_WHOLE)),
    (search, 'top', (0, *NOT_WHOLE)),
    (search, 'block', (0, *NOT_WHOLE)),
    (align, 'size', (0, *NOT_WHOLE)),
    (cmc, 'length', (0, '4', 2.5, True)),
    (lambda **s: classification.CBAMResNet(18, **s), 'attention', ('stage', 1, None)),
    (lambda **s: classification.CBAMResNetCifar(18, **s), 'cbam', (None, 'CBAM', {})),
    (UnreadableImagesHook, 'warnings', (-1, *NOT_WHOLE)),
    (held_out, 'dataset', (None, 'x', {})),
    (held_out, 'part', ('both', 1, None)),
    (held_out, 'fraction', (0, 1, -0.5, *NOT_FINITE)),
    (held_out, 'seed', (-1, *NOT_WHOLE)),
    (held_out, 'pairs', (-1, *NOT_WHOLE)),
    (held_out, 'by', ('age', 1)),
    (read_checkpoint, 'path', (None, 5, '')),
    (lambda **s: run_jobs([], **s), 'slots', (0, *NOT_WHOLE)),
    (lambda **s: run_jobs([], **s), 'poll_seconds', (-1, *NOT_FINITE)),
    (lambda **s: seconds_of(Config(), **s), 'steps', (0, *NOT_WHOLE)),
    (toy_faces, 'train_identities', (0, *NOT_WHOLE)),
    (toy_pictures, 'size', (8, *NOT_WHOLE)),
    (toy_wider_face, 'val_images', (0, *NOT_WHOLE)),
]


# Values at the border of what is right, and numbers of numpy.
RIGHT = [
    (lambda **s: ChannelAttention(4, **s), 'reduction', (1, 400, np.int64(2))),
    (SpatialAttention, 'kernel_size', (1, 7, np.int32(3))),
    (lr_transform, 'ratio', (1, 1.0, 2.7, np.float32(2), np.int64(4), [1, 2.5], (4,))),
    (lambda **s: lr_transform(ratio=None, **s), 'size', (1, (1, 24), [24, 24], np.int64(24), np.array([24, 16]))),
    (lr_transform, 'sigma', (0, 1e-9, np.float64(0.5))),
    (AttentionSimilarityLoss, 'weight', (0, 1e9, np.float32(5))),
    (AttentionSimilarityLoss, 'channel', (None, '*')),
    (HybridOrderRelationLoss, 'orders', ((0, 0, 0), [1, 2.0, 3])),
    (RelationLoss, 'angles', (0, 50)),
    (logits, 'temperature', (1e-3, 1)),
    (hook, 'checkpoint', ('a.pth', Path('a.pth'))),
    (detection.InceptionContext, 'channels', (4, np.int64(8))),
    (detection.SquareCrop, 'scales', ([1], (1e-3, 1.0), np.array([0.3, 1]))),
    (detection.SquareCrop, 'tries', (1, np.int64(250))),
    (detection.ClippedPhotoMetricDistortion, 'prob', (0, 1)),
    (detection.ClippedPhotoMetricDistortion, 'contrast_range', ((0, 1.5), [1, 1])),
    (head, 'score_alpha', (0, 1)),
    (head, 'min_face_height', (0, 9.5)),
    (
        lambda test_cfg: detection.IoUAwareRetinaHead(num_classes=1, in_channels=8, test_cfg=test_cfg),
        'test_cfg',
        (None,),
    ),
    (ir_resnet, 'dropout', (0, 1)),
    (ir_resnet, 'input_size', (16, np.int64(32))),
    (arcface, 'num_classes', (1, np.int64(5))),
    (arcface, 'margins', (0, 1, 3.14)),
    (recognition.VerificationMetric, 'folds', (None, 2, np.int64(10))),
    (recognition.IdentificationMetric, 'ranks', ([1], (1, 50), np.array([1, 5]))),
    (recognition.IdentificationMetric, 'out_dir', (None, 'curves', Path('curves'))),
    (verify, 'folds', (2, 20, np.arange(20) // 5)),
    (search, 'top', (1, 100)),
    (cmc, 'length', (None, 1, 5)),
    (UnreadableImagesHook, 'warnings', (0,)),
]


def cases(table):
    for build, name, values in table:
        for value in values:
            yield pytest.param(build, name, value, id=f'{build.__name__}-{name}-{value}')


@pytest.mark.parametrize('build, name, value', cases(WRONG))
def test_wrong_settings_are_named(build, name, value):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        build(**{name: value})
    sentence = str(caught.value)
    assert '\n' not in sentence
    assert re.search(rf'\b{name}\b', sentence) and re.search('expected|must|needs|found', sentence), sentence


@pytest.mark.parametrize('build, name, value', cases(RIGHT))
def test_right_settings_are_taken(build, name, value):
    assert build(**{name: value}) is not None


def test_a_config_without_a_model_is_named(tmp_path):
    (tmp_path / 'empty.py').write_text('lr = 1\n')
    with pytest.raises(ValueError, match=r'empty\.py: found model=None, expected dict'):
        build_model(Config.fromfile(tmp_path / 'empty.py'))
    with pytest.raises(ValueError, match=r'DistillationHook: found teacher\.model=None, expected dict'):
        hook(teacher=dict(lr=1))


def test_annotation_without_its_settings_is_named(tmp_path):
    for settings in (dict(data_root=None), dict(ann_file=''), dict(data_prefix={})):
        given = dict(data_root=str(tmp_path), ann_file='truth.txt', data_prefix=dict(img_path=''), pipeline=[])
        (tmp_path / 'truth.txt').write_text('')
        with pytest.raises(FileNotFoundError, match='does not exist; WIDER FACE should lie as'):
            detection.WiderFaceTxtDataset(**given | settings)
