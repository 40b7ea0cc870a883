"""Figures for everybody: colour-blind people tell the runs apart, and a report asks no network for anything."""

import itertools
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from skimage import color

from askd_mmdet.analysis.plots import COLOURS, MARKERS, encode, line, panels, runs_legend
from tests.toy_run import ROOT

# What is left of linear RGB without one kind of cone (Machado, Oliveira and Fernandes 2009, severity 1).
SIGHT = dict(
    full=np.eye(3),
    protanopia=[(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
    deuteranopia=[(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)],
    tritanopia=[(1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)],
)
DRAW = """
from askd_mmdet.analysis.plots import encode, line, panels, runs_legend

figure, (curves, pixels) = panels(1, 2)
for run in range(2):
    curves.plot([1, 2, 3 + run], label=f'<{run}>', **line(run))
runs_legend(curves, ['<0>', '<1>'])
pixels.imshow([[0, 1], [2, 3]])
"""


def drawn():
    names = {}
    exec(DRAW, names)
    return names['figure']


def difference(first, second, sight):
    """CIEDE2000 of two colours as somebody sees them: 2.3 is just noticeable side by side."""
    rgb = np.float64([matplotlib.colors.to_rgb(colour) for colour in (first, second)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(SIGHT[sight]), 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return color.deltaE_ciede2000(*color.rgb2lab(seen)).item()


def closest(colours, sight):
    return min(difference(*pair, sight) for pair in itertools.combinations(colours, 2))


@pytest.mark.parametrize('sight', SIGHT)
def test_the_colours_of_runs_stay_apart_without_a_kind_of_cone(sight):
    """Ten is four times what is just noticeable; the paper, white, counts as a colour."""
    assert closest([*COLOURS, 'white'], sight) > 10


def test_the_bound_tells_a_palette_for_all_from_one_for_some():
    """The palette that matplotlib takes by itself fails it."""
    tab10 = [f'C{i}' for i in range(len(COLOURS))]
    assert closest(tab10, 'full') > 10 > max(closest(tab10, 'protanopia'), closest(tab10, 'deuteranopia'))


def test_runs_differ_by_their_markers_as_well():
    """In grey print colours alone do not do."""
    assert len(set(MARKERS)) == len(COLOURS) == len(set(COLOURS))
    assert line(0) != line(1) and line(0) == line(len(COLOURS))


@pytest.mark.parametrize('kind', ['svg', 'png'])
def test_equal_figures_give_equal_bytes_in_another_process_too(kind):
    """So that a report written anew changes where its figures do."""
    expected = encode(drawn(), kind)
    assert encode(drawn(), kind) == expected
    script = f'{DRAW}\nimport sys; sys.stdout.buffer.write(encode(figure, {kind!r}))'
    environment = {'PYTHONHASHSEED': '7', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, check=True, env=environment)
    assert done.stdout == expected


def test_a_figure_asks_nobody_for_anything():
    """References are to itself or hold their data; no script, style sheet or font is fetched."""
    svg = encode(drawn()).decode()
    root = ET.fromstring(svg)
    elements = list(root.iter())
    links = [value for one in elements for name, value in one.attrib.items() if name.rpartition('}')[2] == 'href']
    assert any(link.startswith('#') for link in links) and any(link.startswith('data:') for link in links)
    assert all(link.startswith(('#', 'data:')) for link in links)
    assert svg.count('url(') == svg.count('url(#') > 0 and '@import' not in svg and '<?xml-stylesheet' not in svg
    assert not {one.tag.rpartition('}')[2] for one in elements} & {'script', 'foreignObject'}
    assert '@font-face' not in svg


def test_a_figure_leaves_matplotlib_as_it_was():
    """A notebook that makes a report goes on drawing its own figures in its own style, and no window opens."""
    before = dict(matplotlib.rcParams)
    encode(drawn())
    assert dict(matplotlib.rcParams) == before and not pyplot.get_fignums()


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match='jpgg'):
        encode(drawn(), 'jpgg')


def test_one_line_needs_no_legend():
    _, (axes,) = panels()
    axes.plot([1, 2], label='base')
    runs_legend(axes, iter(['base']))
    assert axes.get_legend() is None
    runs_legend(axes, iter(['base', 'A-SKD']))
    assert axes.get_legend() is not None
