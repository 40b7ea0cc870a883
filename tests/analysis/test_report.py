"""The report of real trainings in a real browser: nothing is asked for, nothing complained of, nothing cut."""

import html
import re
import shutil
import subprocess

import numpy as np
import pytest
from mmengine.config import Config

from askd_mmdet.analysis.page import Layer, Pair, Part, Section, Table, picture_uri, render
from askd_mmdet.analysis.report import settings_section
from askd_mmdet.analysis.runs import find_runs, group_runs
from askd_mmdet.toy import make_picture_classes
from askd_mmdet.training.config import load_config, moved
from tests.analysis.browser import open_browser
from tests.classification.test_training import toy_config as classifier
from tests.toy_run import ASKD, BASE, HR, distillation, toy_config, train


@pytest.fixture(scope='module')
def runs(toy_data, tmp_path_factory):
    """Teacher, base of two seeds and student, a few steps each."""
    folder = tmp_path_factory.mktemp('runs')
    often = {'train_cfg.val_begin': 1, 'train_cfg.val_interval': 1, 'default_hooks.logger.interval': 1}
    for name, config, seed in (('teacher', HR, 0), ('base0', BASE, 0), ('base1', BASE, 1), ('student', ASKD, 0)):
        teacher = folder / 'teacher/epoch_2.pth' if config == ASKD else None
        train(toy_config(config, toy_data, folder / name, teacher, **often, **{'randomness.seed': seed}))
    return folder


@pytest.fixture(scope='module')
def page(runs):
    """The report of all of them, as the command writes it."""
    from askd_mmdet.commands import main

    out = runs / 'report.html'
    arguments = ['report', runs, '--out', out, '--show', 2, '--ratios', 1, 4, '--device', 'cpu', '--title', 'R <b>&']
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert not end.value.code
    return out


@pytest.fixture(scope='module')
def browser():
    browser = open_browser()
    yield browser
    browser.driver.quit()


def test_the_page_says_which_network_is_better_and_how_sure_that_is(page):
    text = html.unescape(page.read_text())
    answer = text.split('id="answer"')[1].split('</div>')[0]
    assert 'By hard: A-SKD 4x is' in answer and 'in one training of each' in answer
    assert '95 % of 500 draws' in answer and 'looks more like the teacher' in answer
    assert 'at most 200 pictures or pairs, so small differences may be luck' in answer
    assert 'The same in figures, wider_face/hard' in text
    assert 'single seed' not in answer and 'What the words mean' in text
    for part in (
        'loss_attention',
        'Does it look where the teacher looks?',
        'Spatial attention, layer4',
        'Precision and recall',
        'How small may a face be?',
        'Commonest failures',
        'Before and after',
        'Where they break',
        'Speed and memory',
        'custom_hooks.',
    ):
        assert part in text, part
    assert 'left out' not in text.lower()
    assert page.stat().st_size < 3e6


@pytest.mark.parametrize('width', [390, 1400])
@pytest.mark.parametrize('dark', [False, True])
def test_it_fits_asks_nobody_and_complains_of_nothing(page, browser, tmp_path, width, dark):
    browser.open(page, width, dark)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run('return document.documentElement.scrollWidth') == width
    pictures = browser.run('return [...document.images].map(image => [image.complete, image.naturalWidth])')
    assert len(pictures) > 20 and all(complete and size for complete, size in pictures)
    text, ground = (
        browser.run(f'return getComputedStyle(document.body).{name}') for name in ('color', 'backgroundColor')
    )
    brightness = [np.mean([int(x) for x in re.findall(r'\d+', colour)][:3]) for colour in (text, ground)]
    assert (brightness[0] > brightness[1] + 120) if dark else (brightness[1] > brightness[0] + 120)


def test_foreign_text_is_no_markup(page, browser):
    browser.open(page, 1400)
    assert browser.run("return document.querySelector('h1').textContent") == 'R <b>&'
    evil = '<img src=x onerror=alert(1)><script>document.title = "taken"</script>'
    image = picture_uri(np.zeros((4, 4, 3), np.uint8), 100)
    pair = Pair(evil, [Layer(evil, image), Layer('"b"', image)], evil, '"b"')
    written = render(
        evil, evil, [evil], [Section('a', evil, [Part(evil, evil, Table([evil], [[evil]]), [image], pairs=[pair])])]
    )
    other = page.with_name('evil.html')
    other.write_text(written)
    browser.open(other, 1400)
    assert browser.run('return document.title') == evil
    assert browser.complaints() == [] and browser.requests() == [other.as_uri()]
    assert browser.run("return document.querySelector('td').textContent") == evil
    assert browser.run("return document.querySelector('.left b').textContent") == evil


def visible_part(browser, figure):
    """Which share of the stage the right picture covers, as the browser draws it: by asking what lies at points."""
    return browser.run(
        """
        const stage = arguments[0].querySelector('.stage');
        stage.scrollIntoView({block: 'center'});
        const box = stage.getBoundingClientRect();
        const right = arguments[0].querySelector('.layer.right');
        let hits = 0;
        for (let i = 0; i < 100; i++) {
            const found = document.elementFromPoint(box.left + (i + .5) / 100 * box.width, box.top + box.height / 2);
            hits += right.contains(found);
        }
        return hits;
        """,
        figure,
    )


def test_the_slider_moves_the_border_between_two_pictures(page, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.open(page, 1400)
    figures = browser.driver.find_elements(By.CSS_SELECTOR, '.compare.live')
    assert len(figures) >= 2
    figure = figures[0]
    assert abs(visible_part(browser, figure) - 50) <= 2
    slider = figure.find_element(By.CSS_SELECTOR, 'input[type=range]')
    for key, share in ((Keys.HOME, 100), (Keys.END, 0)):
        slider.send_keys(key)
        assert abs(visible_part(browser, figure) - share) <= 2
    slider.send_keys(*[Keys.ARROW_LEFT] * 25)
    assert abs(visible_part(browser, figure) - 25) <= 2


def test_what_lies_left_and_right_can_be_chosen(page, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.select import Select

    browser.open(page, 390)
    figure = browser.driver.find_element(By.CSS_SELECTOR, '.compare.live')

    def shown(side):
        return figure.find_element(By.CSS_SELECTOR, f'.layer.{side} b').text

    assert (shown('left'), shown('right')) == ('Base 4x', 'A-SKD 4x')
    names = [option.text for option in Select(figure.find_element(By.CSS_SELECTOR, 'select.left')).options]
    assert names == ['HR, all faces', 'LR', 'HR teacher on HR', 'Base 4x', 'A-SKD 4x']
    for side, name in (('left', 'HR, all faces'), ('right', 'LR'), ('right', 'HR, all faces')):
        Select(figure.find_element(By.CSS_SELECTOR, f'select.{side}')).select_by_visible_text(name)
        assert shown(side) == name
    # The same on both sides is that picture alone.
    assert figure.find_element(By.CSS_SELECTOR, '.stage').size['height'] > 50


def test_print_cuts_nothing(page, browser, tmp_path):
    browser.open(page, 1400)
    browser.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(media='print'))
    # The width of A4 in CSS pixels, less Chromium's margins.
    size = dict(width=718, height=1000, deviceScaleFactor=1, mobile=False)
    browser.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    assert browser.run('return document.documentElement.scrollWidth') <= 718
    cut = browser.run(
        "return [...document.querySelectorAll('.scroll, table, figure')].filter(e => e.scrollWidth > e.clientWidth + 1)"
        '.map(e => e.outerHTML.slice(0, 80))'
    )
    assert cut == []
    hidden = browser.run("return [...document.querySelectorAll('.layer')].filter(e => !e.offsetHeight).length")
    assert hidden == 0
    assert not browser.run("return document.querySelector('.controls').offsetHeight")
    browser.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(media=''))
    browser.print(tmp_path / 'report.pdf')
    assert (tmp_path / 'report.pdf').read_bytes().startswith(b'%PDF')
    if shutil.which('pdftotext'):
        text = subprocess.run(['pdftotext', tmp_path / 'report.pdf', '-'], capture_output=True, text=True).stdout
        assert 'What was run' in text and 'A-SKD 4x' in text


def test_without_script_all_pictures_are_there(page, browser, tmp_path):
    quiet = tmp_path / 'quiet.html'
    quiet.write_text(page.read_text().split('<script>')[0])
    browser.open(quiet, 390)
    assert browser.run("return [...document.querySelectorAll('.layer')].filter(e => !e.offsetHeight).length") == 0
    assert browser.run('return document.documentElement.scrollWidth') == 390


def test_a_report_survives_what_is_missing(runs, toy_data, askd, tmp_path):
    """Data that are gone, a network that was never saved, and one that still trains."""
    folder = tmp_path / 'runs'
    for name in ('base0', 'student'):
        shutil.copytree(runs / name, folder / name)
    for config in folder.glob('*/*/vis_data/config.py'):
        config.write_text(config.read_text().replace(str(toy_data), str(tmp_path / 'gone')))
    status, output, errors = askd('report', folder, '--out', tmp_path / 'report.html', '--ratios', 1)
    assert status == 0, errors
    assert output.count('left out: ') == 3 and 'gone' in output
    text = (tmp_path / 'report.html').read_text()
    assert 'A-SKD 4x is' in text and text.count('Left out: ') == 3
    for log in folder.glob('base0/*/vis_data/scalars.json'):
        log.write_text('\n'.join(line for line in log.read_text().splitlines() if 'wider_face' not in line))
    for weights in folder.glob('*/*.pth'):
        weights.unlink()
    status, output, errors = askd('report', folder, '--out', tmp_path / 'report.html')
    assert status == 0, errors
    text = (tmp_path / 'report.html').read_text()
    assert 'Not finished: A-SKD 4x, seed 0: still going, epoch 0 of 2' in text
    assert 'Nothing to compare: no network has the hard of a seed of which its base has it.' in text


def test_a_report_makes_do_with_later_seeds_other_places_and_most_pictures(runs, toy_data, askd, tmp_path):
    """The weights of one seed are gone, the data have moved, and one picture of them is damaged."""
    folder, root = tmp_path / 'runs', tmp_path / 'sets'
    shutil.copytree(runs, folder)
    shutil.copytree(toy_data, root / 'toys')
    for config in folder.glob('*/*/vis_data/config.py'):
        config.write_text(config.read_text().replace(str(toy_data), 'data/toys'))
    for weights in folder.glob('base0/*.pth'):
        weights.unlink()
    damaged = sorted(root.glob('toys/WIDER_val/images/*/*.jpg'))[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    command = 'report', folder, '--out', tmp_path / 'report.html', '--ratios'
    status, output, errors = askd(*command, '--data', root)
    assert status == 0 and 'left out' not in output, output + errors
    text = (tmp_path / 'report.html').read_text()
    assert 'correlations of their attention maps' in text and 'Commonest failures' in text
    for weights in folder.glob('base1/*.pth'):
        weights.unlink()
    status, output, _ = askd(*command, '--data', root)
    assert status == 0 and output.count('left out') == 1
    assert f'left out but for results and curves: Base 4x: {folder}/base0 has no weights' in output


def test_a_folder_is_no_file_to_write(runs, askd, tmp_path):
    """It is said at once, not when all is done."""
    status, _, errors = askd('report', runs, '--out', tmp_path)
    assert status == 2 and f'argument --out: {tmp_path} is a folder; name a file in it' in errors


def test_a_report_of_nothing_is_refused(askd, tmp_path):
    status, _, errors = askd('report', tmp_path, '--out', tmp_path / 'report.html')
    assert status == 1 and 'no run in' in errors and not (tmp_path / 'report.html').exists()


def test_pictures_of_ones_own(runs, askd, tmp_path):
    import cv2
    from skimage.data import astronaut

    (tmp_path / 'photos').mkdir()
    cv2.imwrite(str(tmp_path / 'photos/ä b.jpg'), astronaut()[..., ::-1])
    arguments = '--pictures', tmp_path / 'photos', '--ratios', '--out', tmp_path / 'report.html'
    status, _, errors = askd('report', runs / 'base0', runs / 'teacher', *arguments)
    assert status == 0, errors
    text = html.unescape((tmp_path / 'report.html').read_text())
    assert 'ä b.jpg' in text and 'Where they break' not in text and 'over 1 pictures' in text


def test_runs_are_grouped_as_the_page_says(runs):
    groups = group_runs(find_runs([runs]))
    assert [len(group.runs) for group in groups] == [1, 2, 1]
    trained = settings_section(groups).parts[0].table
    assert len(trained.rows) == 4 and {len(row) for row in trained.rows} == {len(trained.head)}


def small(name, data, work_dir, options, teacher=None):
    cfg = load_config(f'askd_mmdet::{name}.py')
    loaders = {f'{part}_dataloader.{key}': value for part in ('train', 'val', 'test') for key, value in options.items()}
    cfg.merge_from_dict(
        {**loaders, 'train_cfg.max_epochs': 1, 'default_hooks.logger.interval': 1, 'work_dir': str(work_dir)}
    )
    cfg.log_level = 'WARNING'
    if teacher:
        distillation(cfg).checkpoint = str(teacher)
    return Config(moved(cfg.to_dict(), str(data)))


def test_a_report_on_recognizers(toy_faces, askd, tmp_path):
    (tmp_path / 'toy_faces').symlink_to(toy_faces)
    options = dict(batch_size=8, num_workers=0, persistent_workers=False)
    for name in ('', '-8x', '-8x_askd'):
        teacher = tmp_path / 'runs/hr/epoch_1.pth' if name.endswith('askd') else None
        cfg = small(f'toy/arcface_ir18-cbam_toy{name}', tmp_path, tmp_path / f'runs/{name or "hr"}', options, teacher)
        for loader in (cfg.val_dataloader, cfg.test_dataloader):
            loader.dataset.pipeline[-1].recipe = 'camera-drone'
        train(cfg)
    status, output, errors = askd('report', tmp_path / 'runs', '--out', tmp_path / 'report.html', '--ratios', 1, 8)
    assert status == 0 and 'left out' not in output, output + errors
    text = html.unescape((tmp_path / 'report.html').read_text())
    setting = '8x, camera-drone, trained on paper'
    sentence = f'By accuracy: A-SKD {setting} is '
    for part in (
        sentence,
        f' Base {setting} (',
        'Spatial attention, layer3',
        'Where they break',
        'auc',
        'what cameras deliver',
    ):
        assert part in text, part
    assert 'What they find' not in text


def test_a_report_on_classifiers(askd, tmp_path):
    make_picture_classes(tmp_path / 'pictures', train_pictures=2, val_pictures=1)
    hr = tmp_path / 'runs/hr'
    for folder, ratio, method in (
        (hr, 1, None),
        (tmp_path / 'runs/base', 4, None),
        (tmp_path / 'runs/kd', 4, 'askd-kd'),
    ):
        train(
            classifier(tmp_path / 'pictures', folder, ratio, method, hr / 'epoch_1.pth', **{'train_cfg.val_begin': 1})
        )
    status, output, errors = askd('report', tmp_path / 'runs', '--out', tmp_path / 'report.html', '--ratios', 1, 8)
    assert status == 0 and 'left out' not in output, output + errors
    text = html.unescape((tmp_path / 'report.html').read_text())
    for part in ('By top1: A-SKD+KD 4x is', 'Spatial attention, layer1', 'Where they break', 'loss_logit'):
        assert part in text, part
