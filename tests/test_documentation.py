"""What the documentation points at exists."""

import re
import subprocess

import pytest

from tests.toy_run import ROOT

PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')])


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page):
    text = page.read_text()
    links = [link for link in re.findall(r'\]\(([^)#]+)\)', text) if not link.startswith('http')]
    assert all((page.parent / link).is_file() for link in links), links
    paths = re.findall(r'\b(?:configs|tools|benchmarks|tests)/[\w/.-]+\.(?:py|sh)\b', text)
    assert all((ROOT / path).is_file() for path in paths), paths
    for name in re.findall(r'`(tinaface[\w-]+\.py)`', text):
        assert (ROOT / 'configs/detection' / name).is_file(), name


@pytest.mark.parametrize('target', ['demo', 'demo-recognition', 'test', 'install', 'lint', 'benchmark'])
def test_the_commands_of_the_readme_are_targets(target):
    subprocess.run(['make', '--dry-run', target], cwd=ROOT, check=True, capture_output=True)


def test_the_readme_names_every_kind_of_data_set_and_every_loss():
    import askd_mmdet.distillation
    import askd_mmdet.recognition

    text = (ROOT / 'README.md').read_text()
    names = [name for name in askd_mmdet.recognition.__all__ if name.endswith('Dataset')]
    names += [name for name in askd_mmdet.distillation.__all__ if name.endswith('Loss')]
    assert len(names) > 10 and all(f'`{name}`' in text for name in names)


def test_the_endings_of_the_recognition_configs_exist():
    table = (ROOT / 'README.md').read_text().split('### Experiments')[1].split('```')[0]
    endings = {ending for ending in re.findall(r'`([-_][\w-]+)`', table)}
    files = [path.stem for path in (ROOT / 'configs/recognition').glob('*.py')]
    assert len(endings) > 15 and all(any(name.endswith(ending) for name in files) for ending in endings), endings


def test_the_readme_states_lambda_and_the_configs_agree():
    text = (ROOT / 'README.md').read_text()
    weight = re.search(r'Lambda is one visible line: `weight=([\d.]+)`', text)[1]
    config = (ROOT / 'configs/detection/tinaface_r50-bn-cbam_widerface-16x_askd.py').read_text()
    assert f'weight={weight}' in config
