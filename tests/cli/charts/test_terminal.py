"""Charts of characters."""

import numpy as np
import pytest

from textgru.cli.charts.terminal import Series, Style, draw
from textgru.runs.metrics import Line

LETTERS = Style(dots=False, frame=False)


def line(*points):
    return Line(np.array([x for x, _ in points], float), np.array([y for _, y in points], float))


def picture(*series, style=LETTERS, width=12, rows=4, **more):
    return [text.plain for text in draw(series, (0, 10), (0, 4), width=width, rows=rows, labels=1, style=style, **more)]


def test_letters():
    falling = Series(line((0, 4), (10, 0)), "a", "red")
    level = Series(line((5, 2), (10, 2)), "b", "blue")
    assert picture(falling, level, x_axis="x", width=23) == [
        "4 +aaaaaa",
        "2 +      aaaabbbbbbbbbb",
        "  |           aaaaa",
        "0 +                aaaa",
        "  +--------------------",
        "   0         5        x",
    ]


def test_dots_share_a_character():
    cross = [Series(line((0, 0), (10, 4)), "a", "red"), Series(line((0, 4), (10, 0)), "b", "blue")]
    assert picture(*cross, style=Style(), width=7, rows=2) == ["4 ┤⠉⠢⡠⠊", "0 ┤⡠⠊⠈⢢", "  └────"]


def test_points_alone_and_what_is_outside():
    points = Series(line((0, 9), (0, 3), (5, 1), (10, 1), (50, 0)), "o", "red", points=True)
    assert picture(points) == ["4 +o", "2 +", "  |    o   o", "0 +", "  +---------"]


def test_a_single_point_and_no_range_at_all_are_drawn():
    assert "a" in "".join(picture(Series(line((10, 4)), "a", "red")))


@pytest.mark.parametrize("high", [1e-7, 0.003, 0.7, 1, 5, 99, 1e6, 3e9])
def test_the_numbers_are_round_and_few(high):
    drawn = draw([], (0, 1), (0, high), width=40, rows=16, labels=20, style=LETTERS)
    numbers = [float(text.plain.split("+")[0].replace(",", "")) for text in drawn[:-1] if "+" in text.plain]
    assert 3 <= len(numbers) <= 6
    assert numbers[-1] == 0
    assert np.allclose(np.diff(numbers), numbers[-1] - numbers[-2])
    assert f"{numbers[-2]:e}"[0] in "125"
