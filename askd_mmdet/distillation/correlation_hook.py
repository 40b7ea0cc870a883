"""The hook that logs at every validation how far the student looks where its teacher looks (sec. 5, fig. 5)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from statistics import mean

from mmengine.dist import all_gather_object, get_dist_info
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from askd_mmdet.degradation.pipelines import degradations
from askd_mmdet.distillation.correlation import Moments
from askd_mmdet.distillation.hook import DistillationHook
from askd_mmdet.distillation.maps import AttentionMaps, Maps, attention_taps, equal_batches, last_blocks, paired
from askd_mmdet.training.seed import preserved_random_state
from askd_mmdet.training.settings import check_number

_PREFIX = 'val/correlation/'


@HOOKS.register_module()
class AttentionCorrelationHook(Hook):
    """Logs Pearson's r between the attention maps of the student and of its teacher, beside the validation's metrics.

    The student sees pictures as the validation degrades them, the teacher the same ones undegraded. The scalars are
    `correlation/spatial/layer1` and the like, of the last block of each stage, and `correlation/spatial`, their mean;
    likewise `channel`. They are no metrics, so that neither `save_best` nor early stopping looks at them. Where r is
    undefined, since a map is constant, it is left out, and the log says so once.

    Without a DistillationHook, without attention maps, and where the validation degrades nothing, it does nothing;
    where the maps of the two do not pair up, it says so once. It draws no random number: a run with it equals one
    without bit for bit. The processes of DDP share the pictures.

    Args:
        pictures: How many of the validation set, evenly spaced; by default one in a hundred, and at least one; 0
            switches it off. They are read once: their LR versions and the teacher's maps of them stay in memory.

    Raises:
        ValueError: When `pictures` is not a whole number of at least 0.

    Example:
        >>> hook = AttentionCorrelationHook(pictures=20)
    """

    def __init__(self, pictures: int | None = None):
        if pictures is not None:
            check_number('AttentionCorrelationHook', 'pictures', pictures, whole=True, at_least=0)
        self.pictures = pictures
        self.sample = None
        self.undefined = set()

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Correlate before the first batch: by now the weights are those that are validated, such as a moving mean."""
        distillation = next((hook for hook in runner.hooks if isinstance(hook, DistillationHook)), None)
        if batch_idx or self.pictures == 0 or not hasattr(distillation, 'teacher'):
            return
        maps = self._first(runner, distillation) if self.sample is None else self._again()
        with preserved_random_state():
            try:
                found = _moments(maps)
            except ValueError as error:  # a teacher of another architecture serves other methods
                runner.logger.warning(f'The correlation of the attention maps is not logged: {error}')
                self.sample, found = [], {}
        self._log(runner, _join(all_gather_object(found)))

    def _first(self, runner, distillation) -> Iterator[tuple[Maps, Maps]]:
        """Read the pictures, and see where student and teacher look; keep what does not change."""
        self.sample = []
        student = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not (taps := attention_taps(student, distillation.losses.values())):
            return
        self.student = AttentionMaps(student, taps, 'student')
        teacher = AttentionMaps(distillation.teacher.model, taps, 'teacher')
        pairs = self._pairs(runner.val_dataloader.dataset)
        for batch in equal_batches(pairs, lambda pair: pair[0].shape, runner.val_dataloader.batch_size or 1):
            lr, hr = map(list, zip(*batch))
            seen = self.student(lr)
            if teacher.taps.matched == self.student.taps.matched:
                teacher.counts = self.student.counts  # so that it need not run beyond its last tap to find it
            wanted = last_blocks(teacher(hr))
            wanted = {kind: {stage: x.cpu() for stage, x in named.items()} for kind, named in wanted.items()}
            self.sample.append((lr, wanted))
            yield last_blocks(seen), wanted

    def _again(self) -> Iterator[tuple[Maps, Maps]]:
        for lr, wanted in self.sample:
            yield last_blocks(self.student(lr)), wanted

    def _pairs(self, dataset) -> Iterator[tuple[Tensor, Tensor]]:
        """Packed LR and HR pictures, for this process."""
        steps = degradations(dataset)
        if not any(step.degrades for step in steps):
            return
        rank, processes = get_dist_info()
        count = min(self.pictures or max(len(dataset) // 100, 1), len(dataset))
        kept = [step.keep_hr for step in steps]
        try:
            for step in steps:
                step.keep_hr = True
            for i in range(rank, count, processes):
                sample = dataset[i * len(dataset) // count]
                if 'hr_inputs' in sample and 'unreadable' not in (sample.get('data_samples') or ()):
                    yield sample['inputs'], sample['hr_inputs']
        finally:
            for step, keep_hr in zip(steps, kept):
                step.keep_hr = keep_hr

    def _log(self, runner, found):
        scalars = runner.message_hub.log_scalars
        for name in [name for name in scalars if name.startswith(_PREFIX)]:
            del scalars[name]  # or what is undefined now would be logged with its last value
        known = defaultdict(dict)
        for (kind, stage), moments in found.items():
            if moments.r is not None:
                known[kind][stage] = moments.r
            elif (kind, stage) not in self.undefined:
                self.undefined.add((kind, stage))
                runner.logger.warning(
                    f'The correlation of the {kind} maps of {stage} is undefined: the map of student or teacher is '
                    'constant, or not finite. It is left out of the log.'
                )
        for kind, values in known.items():
            runner.message_hub.update_scalar(f'{_PREFIX}{kind}', mean(values.values()))
            for stage, r in values.items():
                runner.message_hub.update_scalar(f'{_PREFIX}{kind}/{stage}', r)


def _moments(maps: Iterable[tuple[Maps, Maps]]) -> dict[tuple[str, str], Moments]:
    """By kind and stage."""
    found = defaultdict(Moments)
    for seen, wanted in maps:
        for kind, stage, student, teacher in paired(seen, wanted):
            found[kind, stage] += Moments.of(student, teacher)
    return found


def _join(parts):
    total = defaultdict(Moments)
    for part in parts:
        for place, moments in part.items():
            total[place] += moments
    return total
