"""The examples: models that are not ours, distilled by config alone, on tiny data."""

import json
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.hub import get_config
from mmengine.registry import MODELS, RUNNERS, DefaultScope

from askd_mmdet.distillation import DistillationHook
from askd_mmdet.distillation.taps import Taps
from askd_mmdet.training import read_checkpoint
from tests.own_model import small_classifier, small_faster_rcnn
from tests.toy_run import ROOT, distillation

EXAMPLES = ROOT / 'configs/examples'
FASTER_RCNN, RESNET, SERESNET = 'faster-rcnn_r50-cbam_coco', 'resnet18_imagenet', 'seresnet50_imagenet'
METHODS = {FASTER_RCNN: 'askd', RESNET: 'fskd-kd', SERESNET: 'askd'}
LIBRARY = {
    FASTER_RCNN: 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    RESNET: 'mmpretrain::resnet/resnet18_8xb32_in1k.py',
    SERESNET: 'mmpretrain::seresnet/seresnet50_8xb32_in1k.py',
}
TAPS = {
    FASTER_RCNN: {'loss_attention.channel': 16, 'loss_attention.spatial': 16},
    RESNET: {'loss_features.features': 4, 'loss_logit.logits': 1},
    SERESNET: {'loss_attention.channel': 16},
}
CLASSIFIERS = [RESNET, SERESNET]


pytestmark = pytest.mark.usefixtures('unformatted_configs')


def base_of(hr):
    return f'{hr}-4x'


def student_of(hr):
    return f'{hr}-4x_{METHODS[hr]}'


@pytest.fixture(scope='module')
def options(coco, imagenet):
    """What shrinks the examples: for `merge_from_dict`, or `--cfg-options`."""
    # The warm-up starts at a thousandth of the rate, and ends long after these two steps.
    detector = {**small_faster_rcnn(coco), 'param_scheduler.0.start_factor': 1.0, 'train_cfg.val_begin': 2}
    common = {'train_cfg.max_epochs': 1, 'default_hooks.logger.interval': 1}
    return {
        FASTER_RCNN: {**detector, **common},
        RESNET: {**small_classifier(imagenet, 64), **common},
        SERESNET: {**small_classifier(imagenet, 256), **common},
    }


class Watch(Hook):
    """Keeps the losses of every step, and what is back-propagated."""

    priority = 'HIGHEST'

    def before_train(self, runner):
        self.losses, self.totals = [], []
        update = runner.optim_wrapper.update_params
        runner.optim_wrapper.update_params = lambda loss: (self.totals.append(loss.item()), update(loss))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({name: value.item() for name, value in outputs.items() if 'loss' in name})


def shrunk(name, options, work_dir, teacher=None):
    """An example on the tiny data; `teacher` is the folder of the teacher's run."""
    cfg = Config.fromfile(EXAMPLES / f'{name}.py')
    cfg.merge_from_dict({**options, 'work_dir': str(work_dir), 'log_level': 'WARNING'})
    if teacher:
        distillation(cfg).update(teacher=teacher_config(teacher), checkpoint=str(teacher / 'epoch_1.pth'))
    return cfg


def teacher_config(folder):
    """The Runner leaves its whole config beside the checkpoints."""
    return str(next(folder.glob('*.py')))


def train(cfg):
    runner, watch = RUNNERS.build(cfg), Watch()
    runner.register_hook(watch)
    runner.train()
    watch.distillation = next((hook for hook in runner.hooks if isinstance(hook, DistillationHook)), None)
    watch.runner = runner
    watch.saved = read_checkpoint(f'{cfg.work_dir}/epoch_1.pth')['state_dict']
    return watch


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope='module')
def teachers(options, tmp_path_factory):
    """The folder of a trained HR teacher for each model."""
    folders = {hr: tmp_path_factory.mktemp(hr) for hr in METHODS}
    for hr, folder in folders.items():
        train(shrunk(hr, options[hr], folder))
    return folders


@pytest.fixture(scope='module', params=CLASSIFIERS)
def classifier(request, options, teachers, tmp_path_factory):
    """A distilled classifier and its LR base, both trained."""
    hr = request.param
    base = train(shrunk(base_of(hr), options[hr], tmp_path_factory.mktemp('base')))
    student = train(shrunk(student_of(hr), options[hr], tmp_path_factory.mktemp('student'), teachers[hr]))
    return hr, base, student


def test_there_are_these_and_no_others():
    names = {name for hr in METHODS for name in (hr, base_of(hr), student_of(hr))}
    assert {path.stem for path in EXAMPLES.glob('*.py')} == names


def plain(value):
    """A config without the scopes that a base of another package brings along."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key != '_scope_'}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize('hr', METHODS)
def test_the_teacher_is_the_library_s_model(hr):
    cfg, library = (plain(dict(c)) for c in (Config.fromfile(EXAMPLES / f'{hr}.py'), get_config(LIBRARY[hr])))
    for ours in ('custom_imports', 'runner_type', 'randomness'):
        del cfg[ours]
        library.pop(ours, None)
    if hr == FASTER_RCNN:
        backbone = cfg['model']['backbone']
        assert backbone.pop('plugins') == [dict(cfg=dict(type='CBAM'), position='after_conv2')]
        assert (backbone.pop('frozen_stages'), library['model']['backbone'].pop('frozen_stages')) == (0, 1)
    assert cfg == library


@pytest.mark.parametrize('hr', METHODS)
def test_base_and_student_differ_from_the_teacher_in_their_hooks_only(hr):
    teacher, base, student = (Config.fromfile(EXAMPLES / f'{name}.py') for name in (hr, base_of(hr), student_of(hr)))
    degradation, hook = student.pop('custom_hooks')
    assert base.pop('custom_hooks') == [degradation]
    assert (degradation.type, degradation.ratio) == ('LowResolutionHook', 4)
    assert student.to_dict() == base.to_dict() == teacher.to_dict()
    assert hook.teacher == f'askd_mmdet::examples/{hr}.py'
    assert hook.checkpoint == f'work_dirs/{hr}/epoch_{teacher.train_cfg.max_epochs}.pth'


@pytest.mark.parametrize('hr', [FASTER_RCNN, RESNET])
def test_the_hook_does_what_three_pipelines_rewritten_by_hand_do(hr, options, teachers, tmp_path):
    """Bit for bit, in training, validation and test."""
    shape = {FASTER_RCNN: dict(train=2, val=1), RESNET: dict(train=2, val=3)}[hr]
    steps, scores = [], []
    for by_hand in (False, True):
        cfg = shrunk(student_of(hr), options[hr], tmp_path / f'{by_hand}', teachers[hr])
        cfg.train_cfg.val_begin = 1
        if by_hand:
            del cfg.custom_hooks[0]
            for split, start in shape.items():
                dataset = cfg[f'{split}_dataloader'].dataset
                inner = [*dataset.pipeline[start:]]
                step = dict(type='LowResolution', ratio=4, keep_hr=split == 'train', transforms=inner)
                dataset.pipeline = [*dataset.pipeline[:start], step]
        cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
        watch = train(cfg)
        scores.append((watch.runner.val_loop.run(), watch.runner.test()))
        steps.append((watch.losses, watch.saved))
    assert steps[0][0] == steps[1][0] and equal(steps[0][1], steps[1][1])
    assert scores[0] == scores[1] and scores[0][0]


def test_weight_0_equals_the_plain_detector_bit_for_bit(options, teachers, tmp_path):
    base = train(shrunk(base_of(FASTER_RCNN), options[FASTER_RCNN], tmp_path / 'base'))
    cfg = shrunk(student_of(FASTER_RCNN), options[FASTER_RCNN], tmp_path / 'student', teachers[FASTER_RCNN])
    distillation(cfg).losses.loss_attention.weight = 0.0
    student = train(cfg)
    assert student.distillation.counts == TAPS[FASTER_RCNN]
    assert [step['loss_attention'] for step in student.losses] == [0, 0]
    assert equal(student.saved, base.saved)


def test_the_detector_is_distilled_from_the_command_line(options, teachers, tmp_path):
    """Exactly as the README says, only smaller."""
    teacher = teachers[FASTER_RCNN]
    more = {
        'custom_hooks.1.teacher': teacher_config(teacher),
        'custom_hooks.1.checkpoint': teacher / 'epoch_1.pth',
        'train_cfg.val_begin': 1,
    }
    settings = [f'{key}={str(value).replace(" ", "")}' for key, value in {**options[FASTER_RCNN], **more}.items()]
    command = ['tools/train.py', f'configs/examples/{student_of(FASTER_RCNN)}.py', '--work-dir', tmp_path]
    done = subprocess.run(
        [sys.executable, *command, '--cfg-options', *settings], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    *steps, scores = map(json.loads, log.read_text().splitlines())
    assert len(steps) == 2 and 'coco/bbox_mAP' in scores
    for step in steps:
        assert step['loss_attention'] > 0
        parts = sum(value for name, value in step.items() if 'loss_' in name)
        assert step['loss'] == pytest.approx(parts, rel=1e-4)
    saved, hr = (read_checkpoint(folder / 'epoch_1.pth')['state_dict'] for folder in (tmp_path, teacher))
    assert saved.keys() == hr.keys() and not equal(saved, hr)
    # The attention of the first stage learns, too: the library's own config would have frozen it.
    name = 'backbone.layer1.0.cbam.spatial_attention.conv.weight'
    assert not torch.equal(saved[name], hr[name])


def test_the_losses_of_a_classifier_s_config_are_logged_and_learnt_from(classifier):
    hr, base, student = classifier
    assert student.distillation.counts == TAPS[hr]
    names = distillation(student.runner.cfg).losses.keys()
    assert len(student.losses) == len(student.totals) == 2
    for step, total in zip(student.losses, student.totals):
        # The head calls its own loss 'loss', which is the name of the total.
        assert step.keys() == {'loss', 'loss_task', *names} and min(step.values()) > 0
        assert step['loss'] == total == pytest.approx(sum(step.values()) - total, rel=1e-5)
    assert student.losses[0]['loss_task'] == base.losses[0]['loss']
    assert student.saved.keys() == base.saved.keys() and not equal(student.saved, base.saved)
    assert student.runner.message_hub.get_scalar('val/accuracy/top1').current() >= 0


def test_the_teacher_of_a_classifier_sees_pictures_as_the_student_does(classifier):
    """MMPretrain's configs state the data preprocessor beside the model, where only the Runner looks."""
    _, _, student = classifier
    inputs = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    seen, wanted = (
        model.data_preprocessor(dict(inputs=inputs))['inputs']
        for model in (student.distillation.teacher.model, student.runner.model)
    )
    assert torch.equal(seen, wanted)


def test_the_tapped_map_of_an_se_layer_is_the_one_before_its_sigmoid(options, tmp_path):
    cfg = shrunk(student_of(SERESNET), options[SERESNET], tmp_path)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model).eval()
    seen = []
    layers = [module for module in model.modules() if type(module).__name__ == 'SELayer']
    for layer in layers:
        # A copy: the block adds its shortcut in place.
        layer.register_forward_hook(lambda layer, inputs, output: seen.append((inputs[0], output.clone())))
    taps = Taps(model, dict(channel=distillation(cfg).losses.loss_attention.channel), 'student')
    with torch.no_grad():
        taps.start()
        model(torch.randn(2, 3, 64, 64), mode='tensor')
    maps = taps.stop()['channel']
    assert len(maps) == len(seen) == len(layers) == 16
    for raw, (features, weighted) in zip(maps, seen):
        assert raw.shape == (2, features.shape[1], 1, 1)
        torch.testing.assert_close(features * raw.sigmoid(), weighted)
