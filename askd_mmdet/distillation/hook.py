"""The distillation hook: any OpenMMLab model becomes a student, its own code untouched."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import all_reduce, broadcast
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import weights_to_cpu
from torch import Tensor, nn
from torch.optim import Optimizer

from askd_mmdet.degradation.pipelines import degradations, pipeline_of, refuse_switches
from askd_mmdet.distillation.store import StoredTeacher, made_of
from askd_mmdet.distillation.taps import Taps
from askd_mmdet.distillation.teacher import Teacher
from askd_mmdet.training.checkpoint import is_url, load_weights
from askd_mmdet.training.config import load_config
from askd_mmdet.training.model import build_model
from askd_mmdet.training.seed import preserved_random_state
from askd_mmdet.training.settings import check_type


@HOOKS.register_module()
class DistillationHook(Hook):
    """Adds distillation losses to the losses of a student that trains on LR images.

    The teacher sees ``data_batch['hr_inputs']``, which `LowResolutionHook` or a `LowResolution(keep_hr=True)` in the
    pipeline packs, through its own data preprocessor, frozen, and no further than its last tap. Losses join the
    student's own losses, so the ordinary train step logs and back-propagates them; AMP, gradient accumulation and DDP
    need no special case. The teacher is no part of the student, nor of its checkpoint, and draws no random number: with
    weight 0 a run equals the plain one bit for bit.

    The weights of its own that a loss has (`MaskedGenerationLoss`) are trained by the student's optimizer, at the rate
    and decay of most weights, unless the loss has weight 0; clipping counts their gradients. For a run that is resumed,
    checkpoints keep them under 'distillation'.

    In the log `loss` is the total. Where the student's own loss has this name, as in MMPretrain's heads, it is logged
    as `loss_task`.

    Args:
        teacher: The teacher's config: `askd_mmdet::...`, a file (relative to the config that names it, or to the
            working directory), or a dict with its `model` (and `data_preprocessor`, `default_scope`).
        checkpoint: The teacher's weights; every key and shape must fit.
        losses: A :class:`DistillationLoss` config for each name under which it is logged. A name contains 'loss',
            since MMEngine back-propagates no other, and more, since `loss` is the total.
        store: Whether to compute what the teacher puts out once for every picture and its mirror image, keep it on disk
            in float16 and read it from there, for trainings whose only random step is a flip; see
            :class:`StoredTeacher`. True keeps it beside the checkpoint, in a folder with `.maps` behind its name; a
            path names another folder. Students of one teacher share it, at any ratio, whose losses have the same names
            and taps.
        inherit: Names of modules of the student that begin with the weights that they have in the teacher, such as a
            classifier; what keeps them so is the optimizer (`lr_mult=0` and `decay_mult=0` in its `paramwise_cfg`).
        dtype: What the teacher's convolutions compute in, by autocast: 'float32', 'bfloat16', 'float16', or by default
            what the student's do (the setting `amp`). Two bytes are faster where the processor has instructions for
            them, and less exact. The losses are computed in float32 in any case.

    Raises:
        FileNotFoundError: Before training, when there is no such teacher config, or its weights are missing.
        ValueError: For a setting of another type, a teacher without `model`, weights that do not fit it, an unknown
            dtype, a name without 'loss' or taken by the student, taps that match nothing, not equally often, where the
            teacher does not get, or with outputs that the loss cannot compare, a student with batch augmentations, a
            hook that changes the training pipeline in later epochs, a batch without HR images, a store that does not
            fit, or nothing to inherit.

    Example:
        >>> hook = DistillationHook(
        ...     teacher='askd_mmdet::detection/tinaface_r50-bn-cbam_widerface.py',
        ...     checkpoint='work_dirs/teacher/epoch_630.pth',
        ...     losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
        ... )
    """

    def __init__(
        self,
        teacher: str | dict,
        checkpoint: str,
        losses: dict[str, dict],
        dtype: str | None = None,
        store: bool | str = False,
        inherit: Sequence[str] = (),
    ):
        check_type('DistillationHook', 'losses', losses, dict)
        if bad := [name for name in losses if 'loss' not in str(name)]:
            raise ValueError(f"names of distillation losses must contain 'loss' to be back-propagated, got {bad}")
        if 'loss' in losses:
            raise ValueError("a distillation loss cannot be called 'loss', as the total is; call it 'loss_attention'")
        if dtype not in (None, 'float32', 'bfloat16', 'float16'):
            raise ValueError(f"DistillationHook: dtype must be 'float32', 'bfloat16' or 'float16', got {dtype!r}")
        self.dtype = dtype and getattr(torch, dtype)
        check_type('DistillationHook', 'checkpoint', checkpoint, str, Path)
        check_type('DistillationHook', 'teacher', teacher, str, Path, dict)
        if isinstance(teacher, dict):
            check_type('DistillationHook', 'teacher.model', teacher.get('model'), dict)
        self.teacher_cfg = teacher
        self.checkpoint = checkpoint
        for name, loss in losses.items():
            check_type('DistillationHook', f'losses.{name}', loss, dict)
        check_type('DistillationHook', 'store', store, bool, str, Path)
        check_type('DistillationHook', 'inherit', inherit or [''], list, tuple)
        self.inherit = inherit
        if store is True and is_url(checkpoint):
            raise ValueError(
                f'DistillationHook: store=True would put the maps beside {checkpoint}; name a folder instead'
            )
        self.store = Path(f'{checkpoint}.maps' if store is True else store).expanduser() if store else False
        self.takes_hr_images = not self.store  # LowResolutionHook asks
        with preserved_random_state():  # some draw weights of their own
            self.losses = {name: MODELS.build(loss) for name, loss in losses.items()}

    def before_run(self, runner: Runner) -> None:
        """Have the student's optimizer train the weights of the losses too, before it is resumed."""
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            return  # a test builds none
        for loss in self.losses.values():
            loss.to(get_device()).requires_grad_(loss.weight > 0)
        trained = [name for name, loss in self.losses.items() if list(loss.parameters())]
        if trained and isinstance(runner.optim_wrapper, OptimWrapperDict):
            raise ValueError(f'the weights of {trained} need an optimizer, and the student has several: none is theirs')
        for name in trained:
            group = _plain_group(runner.optim_wrapper.optimizer)
            for weight in self.losses[name].parameters():
                broadcast(weight.data)
                if weight.requires_grad:
                    # DDP, which wrapped the student, averages the student's gradients alone.
                    weight.register_post_accumulate_grad_hook(lambda weight: all_reduce(weight.grad, 'mean'))
                    group['params'].append(weight)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the weights of the losses beside the student's."""
        weights = {name: weights_to_cpu(loss.state_dict()) for name, loss in self.losses.items()}
        if any(weights.values()):
            checkpoint['distillation'] = weights

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take them up again where the run goes on."""
        if runner._resume:
            saved = {name: weights for name, weights in checkpoint.get('distillation', {}).items() if weights}
            expected = sorted(name for name, loss in self.losses.items() if loss.state_dict())
            if sorted(saved) != expected:
                raise ValueError(
                    f'the run cannot go on: the checkpoint has weights of the losses {sorted(saved)}, and the config '
                    f'trains those of {expected}; go on with the losses that it began with, or begin anew from its '
                    'weights: load_from'
                )
            for name, weights in saved.items():
                self.losses[name].load_state_dict(weights)

    def before_train(self, runner: Runner) -> None:
        """Build the teacher and tap both networks. Later than the student's initialisation, so as not to disturb it."""
        student = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._check_data(runner, student, keep_hr=not self.store)
        patterns = {f'{name}.{kind}': tap for name, loss in self.losses.items() for kind, tap in loss.taps.items()}
        self.student_taps = Taps(student, patterns, 'student')
        self.counts = None
        with preserved_random_state():
            named = not isinstance(self.teacher_cfg, dict)
            cfg = load_config(self.teacher_cfg, runner.cfg.filename) if named else Config(self.teacher_cfg)
            teacher = self._build_teacher(cfg)
            if self.inherit and not runner.iter:  # what is resumed has weights of its own
                self._hand_down(teacher, student)
            if self.store:
                self.teacher = self._open_store(runner, teacher, cfg, patterns)
            else:
                self.teacher = Teacher(teacher.to(get_device()), patterns, self.dtype)
        if self.student_taps.matched != self.teacher.matched:
            raise ValueError(
                f'the taps match {self.student_taps.matched} modules of the student but {self.teacher.matched} of '
                'the teacher; the patterns must pick the same layers in both networks'
            )
        student.register_forward_pre_hook(self._before_forward, with_kwargs=True)
        student.register_forward_hook(self._after_forward, with_kwargs=True)

    @staticmethod
    def _check_data(runner: Runner, student: nn.Module, keep_hr: bool = True) -> None:
        """Refuse what would break the pairs, now or later, and warn where the student is judged on HR images."""
        later = [hook.schedule.values() for hook in runner.hooks if type(hook).__name__ == 'SwitchRecipeHook']
        augments = [recipe.get('batch_augments') for recipe in chain(*later)]
        if any([getattr(student.data_preprocessor, 'batch_augments', None), *augments]):
            raise ValueError(
                'the student has batch augmentations (data_preprocessor.batch_augments, or a SwitchRecipeHook that '
                'brings them), which would change the LR images only and break the HR-LR pairs; remove them, or '
                'augment in the pipeline'
            )
        refuse_switches(runner, keep_hr)
        if runner.val_loop and not any(step.degrades for step in degradations(runner.val_dataloader.dataset)):
            runner.logger.warning(
                'The student is trained on LR pictures and validated on pictures as they are: its validation pipeline '
                'degrades nothing. Unless they are LR by themselves, add dict(type="LowResolutionHook", ratio=...) to '
                'custom_hooks, which degrades training, validation and test, or LowResolution to the pipeline.'
            )

    def _open_store(self, runner: Runner, teacher: nn.Module, cfg: Config, patterns: dict[str, str]) -> StoredTeacher:
        loader, dataset = runner.cfg.train_dataloader, runner.train_dataloader.dataset
        stored = StoredTeacher(
            self.store,
            dataset,
            made_of(cfg, self.checkpoint, patterns, self.dtype, pipeline_of(loader.dataset)),
            lambda: Teacher(teacher.to(get_device()), patterns, self.dtype),
            loader.num_workers,
        )
        for step in degradations(dataset):
            step.keep_hr = False  # nobody looks at them any longer
        return stored

    def _build_teacher(self, cfg: Config) -> nn.Module:
        teacher = build_model(cfg)
        try:
            load_weights(teacher, self.checkpoint)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'the teacher has no weights at {self.checkpoint}: train it first, by '
                f'"askd train {(cfg.filename and self.teacher_cfg) or "<its config>"}", or name others by --teacher'
            ) from error
        except ValueError as error:
            raise ValueError(f"the teacher's weights do not serve: {error}") from error
        return teacher

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Take the HR images out of the batch; the student does not see them."""
        if self.store:
            data_batch.pop('hr_inputs', None)
            return
        if 'hr_inputs' not in data_batch:
            raise ValueError(
                f"the training batch has no HR images: its keys are {sorted(data_batch)}, expected also 'hr_inputs'; "
                'add dict(type="LowResolutionHook", ratio=...) to custom_hooks, or LowResolution(keep_hr=True, ...) to '
                'the train pipeline'
            )
        self.hr_inputs = data_batch.pop('hr_inputs')

    def _before_forward(self, student: nn.Module, args: tuple, kwargs: dict) -> None:
        if kwargs.get('mode') == 'loss':
            # The teacher looks first, where the activations that the student keeps do not yet fill the memory.
            self.wanted = self._see(kwargs, self.counts) if self.counts else None
            self.student_taps.start()

    def _after_forward(self, student: nn.Module, args: tuple, kwargs: dict, losses: dict) -> dict | None:
        if kwargs.get('mode') != 'loss':
            return None
        counts = self.student_taps.counts()
        seen = self.student_taps.stop()
        if counts != self.counts:  # the first step: only now it is known how far the teacher has to run
            self._check_seen(counts)
            self.wanted = self._see(kwargs, counts)
            self.counts = counts
        with torch.autocast(get_device(), enabled=False):
            distilled = {name: self._compare(name, seen, kwargs.get('data_samples')) for name in self.losses}
        if 'loss' in losses:  # the name of the total, which BaseModel.parse_losses would overwrite with it
            losses = {'loss_task' if name == 'loss' else name: value for name, value in losses.items()}
        if taken := distilled.keys() & losses.keys():
            raise ValueError(f'the student already has losses named {sorted(taken)}; rename the distillation losses')
        return {**losses, **distilled}

    def _check_seen(self, counts: dict[str, int]) -> None:
        for name, loss in self.losses.items():
            for kind, pattern in loss.taps.items():
                if not counts[f'{name}.{kind}']:
                    raise ValueError(
                        f'the tap {kind}={pattern!r} of {name} sees nothing: none of the modules that it matches is '
                        f'called, as it is with a list of modules; tap what is inside, such as {pattern + ".*"!r}'
                    )

    def _hand_down(self, teacher: nn.Module, student: nn.Module) -> None:
        for name in self.inherit:
            try:
                student.get_submodule(name).load_state_dict(teacher.get_submodule(name).state_dict())
            except (AttributeError, RuntimeError) as error:
                raise ValueError(
                    f'DistillationHook(inherit=...): the student cannot begin with {name!r} of the teacher: {error}'
                ) from error

    def _see(self, kwargs: dict, counts: dict[str, int]) -> dict[str, list[Tensor]]:
        return self.teacher.see(kwargs.get('data_samples') if self.store else self.hr_inputs, counts)

    def _compare(self, name: str, seen: dict[str, list[Tensor]], data_samples: list | None) -> Tensor:
        loss = self.losses[name]
        student, teacher = ({kind: taps[f'{name}.{kind}'] for kind in loss.taps} for taps in (seen, self.wanted))
        loss.watch(teacher, data_samples)
        try:
            return loss(student, teacher)
        except (RuntimeError, ValueError) as error:
            for kind, pattern in loss.taps.items():
                modules = self.student_taps.fired[f'{name}.{kind}']
                for module, s, t in zip(modules, student[kind], teacher[kind]):
                    if s.shape != t.shape:
                        raise ValueError(
                            f'{name} cannot compare what the tap {kind}={pattern!r} sees: {module} puts out '
                            f'{tuple(s.shape)} in the student and {tuple(t.shape)} in the teacher; both networks must '
                            'be of one size there and see images of one size'
                        ) from error
            raise


def _plain_group(optimizer: Optimizer) -> dict:
    """The group of parameters with the settings that most have: neither slowed, nor frozen, nor without decay.

    A new group would miss the schedulers, which know the groups that were there when they were built.
    """
    decay = optimizer.defaults.get('weight_decay')
    groups = optimizer.param_groups
    groups = [group for group in groups if group.get('weight_decay') == decay] or groups
    counts = Counter()
    for group in groups:
        counts[group['lr']] += len(group['params'])
    rate = counts.most_common(1)[0][0]
    return next(group for group in groups if group['lr'] == rate)
