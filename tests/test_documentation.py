"""What the documentation points at exists, and its blocks of code run, literally and in their order."""

import argparse
import re
import shlex
import subprocess
from importlib import import_module

import numpy as np
import pytest
import torch
import yaml
from mmengine.registry import RUNNERS
from PIL import Image

from askd_mmdet import commands, distillation, recognition
from askd_mmdet.degradation.camera import CAMERAS
from askd_mmdet.detection import FaceDetector
from askd_mmdet.detection.detector import Detections
from askd_mmdet.distillation import DistillationHook
from askd_mmdet.export.exporting import export_detector, export_embedder
from askd_mmdet.recognition import FaceEmbedder
from askd_mmdet.training import build_model
from askd_mmdet.training.config import load_config
from tests.own_model import small_classifier, small_faster_rcnn, small_retinanet
from tests.toy_run import ROOT, random_network

PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')])
# Pages all of whose blocks of Python run; on the others they stand for files that a reader has.
RUNNING = ['own_model.md', 'add_a_method.md']


def blocks(page, language):
    """The blocks of a page in a language, with the lines before them for what the traceback of an error tells."""
    text = page.read_text()
    for found in re.finditer(rf'^```{language}\n(.*?)^```$', text, re.MULTILINE | re.DOTALL):
        yield '\n' * (text[: found.start()].count('\n') + 1) + found[1]


def askd_commands(page):
    """The arguments of every `askd` command in a page's blocks."""
    for block in blocks(page, 'bash'):
        for line in block.replace('\\\n', ' ').splitlines():
            if line.startswith('askd '):
                yield shlex.split(line, comments=True)[1:]


def parsed(arguments):
    """What the command makes of its arguments; it would end the process where it did not understand them."""
    name, *rest = arguments
    parser = argparse.ArgumentParser()
    import_module(f'askd_mmdet.commands.{name}').add_arguments(parser)
    return parser.parse_args(rest)


def run_python(page, folder):
    """Run a page's blocks of Python. One that begins with the name of a file is this file, a config, and builds."""
    names = {}
    for block in blocks(page, 'python'):
        if file := re.match(r'\s*# ([\w-]+\.py)$', block, re.MULTILINE):
            (folder / file[1]).write_text(block.lstrip())
            build_model(load_config(folder / file[1]))
        else:
            exec(compile(block, str(page), 'exec'), names)
    return names


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_take_their_arguments(page):
    for arguments in askd_commands(page):
        args = parsed(arguments)
        if str(getattr(args, 'config', '')).startswith('askd_mmdet::'):
            load_config(args.config)


def test_the_commands_that_need_no_data_run_as_they_stand(tmp_path, monkeypatch, capsys):
    """Toy sets are made, and plans of tables printed."""
    monkeypatch.chdir(tmp_path)
    called = [arguments for page in PAGES for arguments in askd_commands(page)]
    called = [args for args in called if args[0] == 'toy' or ('--dry-run' in args and '--estimate' not in args)]
    assert {arguments[0] for arguments in called} == {'toy', 'table'}
    for arguments in called:
        with pytest.raises(SystemExit) as end:
            commands.main(arguments)
        assert not end.value.code, end.value.code
    assert {path.name for path in (tmp_path / 'data').iterdir()} == {'toy_wider_face', 'toy_faces', 'toy_pictures'}
    assert 'test  ' in capsys.readouterr().out


@pytest.mark.parametrize('name', RUNNING)
def test_the_python_of_a_page_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_python(ROOT / 'docs' / name, tmp_path)


def test_the_commands_on_your_own_model_train_and_test_it(coco, imagenet, tmp_path, monkeypatch, unformatted_configs):
    """Literally, but that the teachers' files, from which the students inherit, are narrow and on small pictures."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / 'docs/own_model.md'
    run_python(page, tmp_path)
    small = {
        'my_teacher.py': small_faster_rcnn(coco),
        'resnet18_teacher.py': small_retinanet(coco),
        'se_teacher.py': small_classifier(imagenet, 256),
    }
    epochs = {}
    for file, options in small.items():
        cfg = load_config(file)
        cfg.merge_from_dict(options)
        cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
        epochs[file] = cfg.train_cfg.max_epochs
        cfg.train_cfg.update(max_epochs=1, val_begin=2)
        cfg.log_level = 'WARNING'
        cfg.dump(file)
    seen = []
    for arguments in askd_commands(page):
        with pytest.raises(SystemExit) as end:
            commands.main(arguments)
        assert not end.value.code, end.value.code
        command, config, *_ = arguments
        seen.append((command, config))
        if command == 'train':  # what a whole training would have left
            folder = tmp_path / 'work_dirs' / config.removesuffix('.py')
            last = epochs[config.replace('student', 'teacher')]
            (folder / 'epoch_1.pth').rename(folder / f'epoch_{last}.pth')
    assert [config for command, config in seen if command == 'train'] == [
        file.replace('teacher', role) for file in small for role in ('teacher', 'student')
    ]
    assert ('test', 'my_student.py') in seen


def test_people_of_ones_own_are_split_and_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for person in range(52):
        folder = tmp_path / f'data/aligned/{person}'
        folder.mkdir(parents=True)
        for i in range(4):
            Image.new('L', (8, 8), person * 4 + i).save(folder / f'{i}.pgm')
    called = [args for args in askd_commands(ROOT / 'docs/recognition.md') if 'data/people' in ' '.join(args)]
    assert [arguments[0] for arguments in called] == ['split', 'check']
    for arguments in called:
        with pytest.raises(SystemExit) as end:
            commands.main(arguments)
        assert not end.value.code, end.value.code
    assert capsys.readouterr().out.endswith('All is well.\n')


def test_mosaic_before_the_degradation_makes_pairs_that_the_hook_takes(coco, tmp_path, monkeypatch):
    """YOLOX, by hand, before and after its hook has closed the mixing."""
    monkeypatch.chdir(tmp_path)
    run_python(ROOT / 'docs/own_model.md', tmp_path)
    cfg = load_config('by_hand.py')
    cfg.train_dataloader.dataset.dataset.update(
        data_root=f'{coco}/', ann_file='annotations.json', data_prefix=dict(img=''), metainfo=dict(classes=['person'])
    )
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.update(work_dir=str(tmp_path), log_level='WARNING')
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    runner = RUNNERS.build(cfg)
    closing = next(hook for hook in runner.hooks if hasattr(hook, 'skip_type_keys'))
    DistillationHook._check_data(runner, runner.model)
    dataset = runner.train_dataloader.dataset
    for closed in (None, closing.skip_type_keys):
        dataset._skip_type_keys = closed
        sample = dataset[0]
        assert sample['inputs'].shape == sample['hr_inputs'].shape
        assert not torch.equal(sample['inputs'], sample['hr_inputs'])


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page):
    text = page.read_text()
    links = [link for link in re.findall(r'\]\(([^)#]+)\)', text) if not link.startswith('http')]
    assert all((page.parent / link).is_file() for link in links), links
    paths = re.findall(r'\b(?:configs|tools|benchmarks|tests)/[\w/.-]+\.(?:py|sh)\b', text)
    assert all((ROOT / path).is_file() for path in paths), paths
    for name in re.findall(r'`(tinaface[\w-]+\.py)`', text):
        assert list((ROOT / 'configs').glob(f'*/{name}')), name


def test_every_other_command_of_a_page_is_there():
    """Those of make are targets, those of the shell are files; what is left is pip's and the shell's own."""
    lines = [
        line for page in PAGES for block in blocks(page, 'bash') for line in block.replace('\\\n', ' ').splitlines()
    ]
    words = [shlex.split(line, comments=True) for line in lines]
    words = [[word for word in line if not re.match(r'[A-Z_]+=', word)] for line in words]
    others = [line for line in words if line and line[0] not in ('askd', 'pip')]
    assert others
    for command, *rest in others:
        if command == 'make':
            subprocess.run(['make', '--dry-run', *rest], cwd=ROOT, check=True, capture_output=True)
        else:
            assert (ROOT / command).is_file(), command


def test_the_python_of_the_recognition_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config('askd_mmdet::recognition/arcface_ir50-cbam_casia-4x_askd.py')
    torch.save(build_model(cfg).state_dict(), 'student.pth')
    for i, name in enumerate(('a.jpg', 'b.jpg')):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (112, 112, 3), np.uint8)).save(name)
    # A photograph of a face where a detector would see one, as an untrained one does not.
    torch.save(
        build_model(load_config('askd_mmdet::detection/tinaface_r50-bn_widerface.py')).state_dict(), 'tinaface.pth'
    )
    face = Detections(np.float32([(10, 10, 90, 100)]), np.float32([0.9]))
    monkeypatch.setattr(FaceDetector, 'detect', lambda self, images: [face for _ in images])
    (tmp_path / 'photos').mkdir()
    for name in ('a.jpg', 'b.jpg'):
        (tmp_path / 'photos' / name).write_bytes((tmp_path / name).read_bytes())
    export_embedder(FaceEmbedder(cfg, 'student.pth', 'cpu'), tmp_path / 'student.onnx')
    names = run_python(ROOT / 'docs/recognition.md', tmp_path)
    assert names['embeddings'].shape == (2, 1024)
    assert [row[:3] for row in names['rows']] == [('a.jpg#0', 1, 'b.jpg#0')]


def test_the_python_of_the_detection_page_runs(tmp_path, monkeypatch):
    """With the toy network in the place of the real one, which takes half a minute."""
    monkeypatch.chdir(tmp_path)
    real, toy = 'detection/tinaface_r50-bn-cbam_widerface-16x_askd.py', 'toy/tinaface_r50-bn-cbam_toy-4x_askd.py'
    text = (ROOT / 'docs/detection.md').read_text()
    assert text.count(f"'askd_mmdet::{real}'") == 2
    (tmp_path / 'page.md').write_text(text.replace(real, toy))
    random_network(load_config(f'askd_mmdet::{toy}'), 'student.pth')
    detector = FaceDetector(f'askd_mmdet::{toy}', 'student.pth', 'cpu', min_score=0)
    for name, nms in (('student.onnx', False), ('student-nms.onnx', True)):
        export_detector(detector, tmp_path / name, nms)
    for i, name in enumerate(('a.jpg', 'b.jpg')):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (120, 160, 3), np.uint8)).save(name)
    names = run_python(tmp_path / 'page.md', tmp_path)
    assert len(names['faces']) == len(names['found'].boxes) > 0
    assert names['boxes'].shape == (len(names['scores']), 4) and len(names['scores'])
    assert Image.open('framed.jpg').size == Image.open('hidden.jpg').size == (160, 120)
    cfg = load_config('my_student.py')
    for split in ('train', 'val', 'test'):
        step = cfg[f'{split}_dataloader'].dataset.pipeline[-1]
        assert (step.ratio, step.recipe) == (8, 'camera-surveillance')


def test_the_python_of_the_analysis_page_runs(tmp_path, monkeypatch):
    """With toy networks in the place of the real ones."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / 'docs/analysis.md').read_text()
    for real, toy, weights in (
        (
            'detection/tinaface_r50-bn-cbam_widerface-16x_askd.py',
            'toy/tinaface_r50-bn-cbam_toy-4x_askd.py',
            'student.pth',
        ),
        ('detection/tinaface_r50-bn-cbam_widerface.py', 'toy/tinaface_r50-bn-cbam_toy.py', 'teacher.pth'),
    ):
        assert text.count(f"'askd_mmdet::{real}'") == 1 and weights in text
        text = text.replace(real, toy)
        random_network(load_config(f'askd_mmdet::{toy}'), weights)
    (tmp_path / 'page.md').write_text(text)
    (tmp_path / 'photos').mkdir()
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 256, (120, 160, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f'photos/{i}.png')
    names = run_python(tmp_path / 'page.md', tmp_path)
    assert set(names['r']) == {'spatial', 'channel'} and all(-1 <= r <= 1 for r in names['r']['spatial'].values())
    assert Image.open('student.png').size == (160, 120)


def test_the_pages_name_every_kind_of_data_set_and_every_loss():
    text = ''.join(page.read_text() for page in PAGES)
    names = [name for name in recognition.__all__ if name.endswith('Dataset')]
    names += [name for name in distillation.__all__ if name.endswith('Loss')]
    assert len(names) > 10 and all(f'`{name}`' in text for name in names)


def test_the_endings_of_the_recognition_configs_exist():
    table = (ROOT / 'docs/recognition.md').read_text().split('## Train')[1].split('```')[0]
    endings = {ending for ending in re.findall(r'`([-_][\w-]+)`', table)}
    files = [path.stem for path in (ROOT / 'configs/recognition').glob('*.py')]
    assert len(endings) > 15 and all(any(name.endswith(ending) for name in files) for ending in endings), endings


def test_the_detection_page_states_lambda_and_the_configs_agree():
    text = (ROOT / 'docs/detection.md').read_text()
    weight = re.search(r'Lambda is one visible line: `weight=([\d.]+)`', text)[1]
    config = (ROOT / 'configs/detection/tinaface_r50-bn-cbam_widerface-16x_askd.py').read_text()
    assert f'weight={weight}' in config


def test_the_model_zoo_lists_every_config_of_the_index():
    text = (ROOT / 'docs/model_zoo.md').read_text()
    listed = set(re.findall(r'^\| `([\w.-]+\.py)` \|', text, re.MULTILINE))
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    models = [model for path in index for model in yaml.safe_load((ROOT / path).read_text())['Models']]
    names = {model['Config'].rpartition('/')[2] for model in models if '/toy/' not in model['Config']}
    assert listed == names


@pytest.mark.parametrize('name', CAMERAS)
def test_the_ranges_of_a_camera_are_those_of_the_code(name):
    row = re.search(rf'^\| `camera-{name}` \|(.*)$', (ROOT / 'docs/analysis.md').read_text(), re.MULTILINE)[1]
    camera = CAMERAS[name]
    rates = 100 * camera.moving, 100 * camera.twice
    expected = [*camera.defocus, rates[0], *camera.motion, *camera.read, *camera.shot, *camera.quality, rates[1]]
    assert [float(number) for number in re.findall(r'[\d.]+', row)] == pytest.approx(expected)
