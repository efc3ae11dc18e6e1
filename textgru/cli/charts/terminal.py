"""Curves drawn with characters: braille dots in colour where a terminal has both, letters anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isclose, log10

import numpy as np
from rich.text import Text

from textgru.runs.metrics import Line

Range = tuple[float, float]

BRAILLE = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a character: 4 rows of 2


@dataclass(frozen=True)
class Series:
    """A curve, the letter that draws it where there are no dots, and its colour where there are. `points`: letters
    stand for its points only."""

    line: Line
    letter: str
    colour: str
    points: bool = False


@dataclass(frozen=True)
class Style:
    """`dots`: braille and colour; `frame`: box-drawing characters."""

    dots: bool = True
    frame: bool = True


def draw(
    series: Sequence[Series], x: Range, y: Range, *, width: int, rows: int, labels: int, style: Style,
    x_axis: str | None = None, x_ticks: Callable[[float], str] = "{:,.10g}".format,
) -> list[Text]:  # fmt: skip
    """The lines of a chart of `width` columns, `labels` of them before the axis, and has `rows` rows of curves.

    What is outside the ranges is not drawn. With `x_axis`, what x is, the numbers of x stand below.
    """
    columns = width - labels - 2
    y_ticks = {_place(tick, y, rows): f"{tick:,.10g}" for tick in _ticks(y, max(2, rows // 4))}
    tick, bar, corner, dash = ("┤", "│", "└", "─") if style.frame else ("+", "|", "+", "-")
    lines = []
    for row, cells in enumerate(_cells(series, x, y, columns, rows, style)):
        number = y_ticks.get(rows - 1 - row)
        lines.append(Text(f"{number or '':>{labels}} {tick if number else bar}") + cells)
    lines.append(Text(" " * (labels + 1) + corner + dash * columns))
    if x_axis is not None:
        numbers = [(_place(tick, x, columns), x_ticks(tick)) for tick in _ticks(x, max(2, columns // 14))]
        lines.append(Text(" " * (labels + 2) + _numbers_below(numbers, columns, x_axis)))
    return lines


def label_width(y: Range, rows: int) -> int:
    """How many columns the numbers of y take."""
    return max((len(f"{tick:,.10g}") for tick in _ticks(y, max(2, rows // 4))), default=1)


def _cells(series: Sequence[Series], x: Range, y: Range, columns: int, rows: int, style: Style) -> list[Text]:
    """The curves, a later one over an earlier one."""
    across, up = (2, 4) if style.dots else (1, 1)
    bits = np.zeros((rows, columns), np.int32)
    owner = np.full((rows, columns), -1)
    for number, one in enumerate(series):
        for column, row in _dots(one.line, x, y, columns * across, rows * up, one.points and not style.dots):
            cell = rows - 1 - row // up, column // across
            bits[cell] |= DOTS[up - 1 - row % up][column % across] if style.dots else 0
            owner[cell] = number
    lines = []
    for row in range(rows):
        line = Text()
        for code, which in zip(bits[row].tolist(), owner[row].tolist(), strict=True):
            if which < 0:
                line.append(" ")
            elif style.dots:
                line.append(chr(BRAILLE + code), series[which].colour)
            else:
                line.append(series[which].letter)
        line.rstrip()
        lines.append(line)
    return lines


def _dots(line: Line, x: Range, y: Range, columns: int, rows: int, points: bool) -> list[tuple[int, int]]:
    """The dots (column, row from below) of the points, and of the straight lines between them."""
    across, up = _places(line.x, x, columns), _places(line.y, y, rows)
    found: dict[tuple[int, int], None] = {}
    for i in range(len(line)):
        j = i if points else min(i + 1, len(line) - 1)
        longest = min(max(abs(across[j] - across[i]), abs(up[j] - up[i])), 4 * (columns + rows))
        count = ceil(longest) + 1
        steps = zip(np.linspace(across[i], across[j], count), np.linspace(up[i], up[j], count), strict=True)
        for column, row in steps:
            if 0 <= column <= columns and 0 <= row <= rows:
                found[min(int(column), columns - 1), min(int(row), rows - 1)] = None
    return list(found)


def _places(values: np.ndarray, span: Range, cells: int) -> np.ndarray:
    """Where values are on an axis of `cells` cells: the whole part is the number of the cell."""
    places: np.ndarray = (values - span[0]) / (span[1] - span[0]) * cells
    return places


def _place(value: float, span: Range, cells: int) -> int:
    return min(int(_places(np.array(value), span, cells)), cells - 1)


def _ticks(span: Range, most: int) -> list[float]:
    """About `most` round numbers in the range, 1, 2 or 5 times a power of ten apart."""
    rough = 0.75 * (span[1] - span[0]) / most
    power = 10.0 ** floor(log10(rough))
    distance = next(power * times for times in (1, 2, 5, 10) if power * times >= rough or isclose(power * times, rough))
    return [round(i * distance, 12) for i in range(ceil(span[0] / distance), floor(span[1] / distance + 1e-9) + 1)]


def _numbers_below(numbers: Sequence[tuple[int, str]], columns: int, name: str) -> str:
    """The numbers of the x axis, each below its place, and at the right end what they count."""
    line, end = "", columns - len(name) - 1
    for place, number in numbers:
        start = max(0, place - len(number) // 2)
        if start >= len(line) + (2 if line else 0) and start + len(number) < end:
            line = line.ljust(start) + number
    return line.ljust(end + 1) + name
