"""The panels of figure 5."""

import numpy as np
import pytest

from askd_mmdet.analysis.correlation import Correlation, pearson, plot_correlations
from askd_mmdet.analysis.plots import encode


def correlation(seed, share=1.0, constant=False):
    rng = np.random.default_rng(seed)
    teacher = rng.beta(5, 8, 4000)
    student = np.full(4000, 0.5) if constant else (share * teacher + (1 - share) * rng.random(4000)).clip(0, 1)
    found = Correlation()
    found.update(student, teacher)
    return found


def test_a_row_per_network_and_kind_a_column_per_stage_and_r_in_every_panel():
    rows = {
        'LR base, spatial': {'layer1': correlation(0, 0.2), 'layer3': correlation(1, 0.5)},
        'A-SKD, spatial': {f'layer{i}': correlation(i, 0.8) for i in range(1, 4)},
    }
    figure = plot_correlations(rows)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [
        *(f'layer1\nr = {rows["LR base, spatial"]["layer1"].r:.2f}', ''),
        f'layer3\nr = {rows["LR base, spatial"]["layer3"].r:.2f}',
        *(f'layer{i}\nr = {rows["A-SKD, spatial"][f"layer{i}"].r:.2f}' for i in range(1, 4)),
    ]
    assert [ax.axison for ax in figure.axes] == [True, False, True, True, True, True]
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == [f'{row}\nstudent (LR)' for row in rows]
    # What is drawn is the histogram, over [0, 1], in equal units, on the part where the numbers are.
    (image,) = figure.axes[0].images
    assert np.array_equal(image.get_array(), rows['LR base, spatial']['layer1'].histogram)
    assert image.get_extent() == [0, 1, 0, 1] and image.origin == 'lower'
    assert figure.axes[0].get_xlim() == figure.axes[0].get_ylim()
    low, high = figure.axes[0].get_xlim()
    assert 0 <= low < 0.1 and 0.8 < high <= 1
    assert encode(figure, 'png').startswith(b'\x89PNG')


def test_where_r_is_undefined_the_panel_says_so():
    figure = plot_correlations({'student': {'layer1': correlation(0, constant=True), 'layer2': Correlation()}})
    assert [ax.get_title() for ax in figure.axes] == [f'layer{i}\nundefined:\na constant map' for i in (1, 2)]
    content = encode(figure)
    assert b'<svg' in content and b'nan' not in content.lower()


def test_one_number_is_drawn():
    found = Correlation()
    found.update([1.0], [0.0])
    encode(plot_correlations({'student': {'layer1': found}}), 'png')


@pytest.mark.parametrize('rows', [{}, {'student': {}}])
def test_nothing_to_draw_is_refused(rows):
    with pytest.raises(ValueError, match='found no correlation to draw'):
        plot_correlations(rows)


def test_the_room_has_the_pure_function():
    assert pearson([0, 1], [1, 0]) == pytest.approx(-1)
