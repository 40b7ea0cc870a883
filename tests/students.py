"""An A-SKD student of every task, small, on toy data, with a teacher that was never trained."""

from mmengine.config import Config

from askd_mmdet.toy import make_picture_classes
from tests.classification import test_training as classification
from tests.recognition import test_training as recognition
from tests.toy_run import ASKD, distillation, random_network, toy_config

TASKS = ('detection', 'recognition', 'classification')


def student(task, data, faces, work_dir, **options):
    """The config of a task's student, which logs every loss of one epoch.

    Args:
        task: One of TASKS.
        data: The toy WIDER FACE (fixture `toy_data`).
        faces: The toy identities (fixture `toy_faces`).
        work_dir: Where the run, its teacher and the toy pictures to classify go.
        **options: Settings by dotted name.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    teacher = work_dir / 'teacher.pth'
    options = {'train_cfg.max_epochs': 1, **options}
    if task == 'detection':
        cfg = toy_config(ASKD, data, work_dir, teacher, **options)
    elif task == 'recognition':
        cfg = recognition.toy_config(recognition.ASKD, faces, work_dir, teacher, **options)
    else:
        pictures = work_dir / 'pictures'
        if not pictures.exists():
            make_picture_classes(pictures, train_pictures=2, val_pictures=1)
        cfg = classification.toy_config(pictures, work_dir, 4, 'askd', teacher, **options)
    parts = ('model', 'data_preprocessor', 'default_scope')
    network = Config({part: cfg[part] for part in parts if part in cfg})
    distillation(cfg).teacher = network.to_dict()
    random_network(network, teacher)
    return cfg
