"""The control experiment: a teacher that looks at other pictures."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

from askd_mmdet.distillation import MismatchedTeacherHook
from askd_mmdet.training import build_model, load_weights
from tests.recognition.test_training import ASKD, HR, toy_config


class First(Hook):
    """Keeps the first batch, the student before it, and its loss."""

    priority = 'HIGHEST'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0:
            self.batch, self.student = copy.deepcopy(data_batch), copy.deepcopy(runner.model)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx == 0:
            self.loss = outputs['loss_attention'].item()


def maps(network, pictures):
    """What the attention modules put out, in running order, by kind."""
    found = {'channel_attention': [], 'spatial_attention': []}
    handles = [
        module.register_forward_hook(lambda module, inputs, output, kind=kind: found[kind].append(output))
        for name, module in network.named_modules()
        for kind in found
        if name.endswith(kind)
    ]
    with torch.no_grad():
        network(network.data_preprocessor(dict(inputs=pictures))['inputs'], mode='tensor')
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize('stacked', [True, False])
def test_the_teacher_looks_at_the_next_picture(toy_faces, tmp_path, stacked):
    teacher = build_model(toy_config(HR, toy_faces, tmp_path))
    torch.save(teacher.state_dict(), tmp_path / 'teacher.pth')
    cfg = toy_config(ASKD, toy_faces, tmp_path, tmp_path / 'teacher.pth')
    cfg.custom_hooks.append(dict(type='MismatchedTeacherHook'))
    if not stacked:
        cfg.train_dataloader.collate_fn = dict(type='pseudo_collate')
    first = First()
    runner = RUNNERS.build(cfg)
    runner.register_hook(first)
    runner.train()
    load_weights(teacher, tmp_path / 'teacher.pth')
    wanted = maps(teacher.eval(), torch.stack([*first.batch['hr_inputs'][1:], first.batch['hr_inputs'][0]]))
    seen = maps(first.student.train(), torch.stack(list(first.batch['inputs'])))
    pairs = [pair for kind in seen for pair in zip(seen[kind], wanted[kind])]
    expected = 5 * sum(1 - torch.cosine_similarity(s.flatten(1), t.flatten(1)).mean() for s, t in pairs) / 2
    assert first.loss == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize('batch', [{}, dict(hr_inputs=torch.zeros(1, 3, 4, 4))])
def test_a_batch_without_another_picture_is_refused(batch):
    with pytest.raises(ValueError, match='expected at least 2; put DistillationHook'):
        MismatchedTeacherHook().before_train_iter(None, 0, batch)
