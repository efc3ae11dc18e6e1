"""Loss and learning-rate curves as an image, by matplotlib."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from textgru.atomic_files import write_atomically
from textgru.errors import InputError
from textgru.paths import given_path
from textgru.runs.metrics import Curves, loss_range

FORMATS = (".png", ".svg")
X_LABELS = {"steps": "steps", "tokens": "tokens seen", "minutes": "minutes"}

# Eight colours that colour-blind people tell apart too (Okabe and Ito 2008), the readable ones first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
RAW = 2  # runs, at most, whose loss at single steps is shown behind the smoothed one
LEGEND_INSIDE, LEGEND_MOST = 8, 20  # runs; more stand beside the curves, still more are only counted


def check_image(file: str | Path) -> Path:
    """Raises InputError if no image can be drawn there."""
    path = given_path("out", file)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: expected a file name that ends in {' or '.join(FORMATS)}")
    try:
        if not path.parent.is_dir():
            raise InputError(f"{path}: {path.parent} is no directory; make it first")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is no file that can be replaced; choose another name")
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror}; choose another name") from error
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells where it keeps its files
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise InputError(f"{path}: an image needs matplotlib, which isn't installed: pip install matplotlib") from error
    return path


def save_image(runs: Sequence[Curves], file: str | Path, x: str = "steps") -> None:
    """Draws the curves of some runs, over what they were made for, to a .png or .svg file. Raises InputError."""
    path = check_image(file)
    from matplotlib import rc_context

    data = BytesIO()
    # An SVG has no date and no random names in it: the same curves give the same file.
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "textgru"}):
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks
        extra = {"metadata": {"Date": None}} if path.suffix.lower() == ".svg" else {}
        _figure(runs, x).savefig(data, format=path.suffix[1:].lower(), dpi=150, **extra)
    write_atomically(path, data.getvalue())


def _figure(runs: Sequence[Curves], x: str) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, StrMethodFormatter

    figure = Figure(figsize=(9, 6.4), layout="constrained")
    loss, rate = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    colours = _colours(len(runs))
    for curves, colour in reversed(list(zip(runs, colours, strict=True))):  # the best on top
        _draw_losses(loss, curves, colour, raw=len(runs) <= RAW)
        rate.plot(curves.learning_rate.x, curves.learning_rate.y, color=colour, linewidth=1.4)
    loss.set_ylim(*loss_range(runs))
    loss.set_ylabel("loss, nats a token")
    loss.set_title(_title(runs), loc="left", fontsize=12)
    _draw_legend(loss, runs, colours)
    rate.set_ylim(bottom=0)
    rate.set_ylabel("learning rate")
    rate.set_xlabel(X_LABELS[x])
    if x == "steps":
        rate.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    elif x == "tokens":
        rate.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes in (loss, rate):
        axes.set_xlim(left=0)
        axes.grid(color="#e4e4e4", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.align_ylabels()
    return figure


def _draw_losses(axes: Any, curves: Curves, colour: Any, *, raw: bool) -> None:
    training, smoothed, validation = curves.training, curves.smoothed, curves.validation
    if raw:
        axes.plot(training.x, training.y, color=colour, alpha=0.2, linewidth=0.8)
    axes.plot(smoothed.x, smoothed.y, color=colour, alpha=0.6, linewidth=1.1, marker="" if len(smoothed) > 1 else ".")
    axes.plot(validation.x, validation.y, color=colour, linewidth=1.6, marker="o", markersize=3.5)


def _draw_legend(axes: Any, runs: Sequence[Curves], colours: Sequence[Any]) -> None:
    """What the kinds of lines are, and which colour is which run, the best first."""
    from matplotlib.lines import Line2D

    one = len(runs) == 1
    colour = colours[0] if one else "#555555"
    entries = [("training, smoothed", Line2D([], [], color=colour, alpha=0.6, linewidth=1.1))]
    if any(len(curves.validation) for curves in runs):
        entries.append(("validation", Line2D([], [], color=colour, linewidth=1.6, marker="o", markersize=3.5)))
    if not one:
        for curves, colour in zip(runs[:LEGEND_MOST], colours, strict=False):
            best = "" if curves.best is None else f"  {curves.best:.3f}"
            entries.append((_plain(curves.name) + best, Line2D([], [], color=colour, linewidth=3)))
        if len(runs) > LEGEND_MOST:
            entries.append((f"and {len(runs) - LEGEND_MOST} more", Line2D([], [], alpha=0)))
    beside = len(runs) > LEGEND_INSIDE
    place = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if beside else {"loc": "upper right"}
    axes.legend(
        [line for _, line in entries], [label for label, _ in entries], fontsize=9, frameon=not beside,
        edgecolor="none", framealpha=0.85, **place,
    )  # fmt: skip


def _title(runs: Sequence[Curves]) -> str:
    if len(runs) > 1:
        return f"{len(runs)} runs, the lowest validation loss first"
    curves = runs[0]
    if curves.best is None or curves.best_step is None:
        return _plain(curves.name)
    return f"{_plain(curves.name)}: best validation loss {curves.best:.4f} at step {curves.best_step:,}"


def _plain(name: str) -> str:
    """A run's name, so that matplotlib takes it for neither a formula nor a label to leave out."""
    return ("\N{EN SPACE}" if name.startswith("_") else "") + name.replace("$", r"\$")


def _colours(count: int) -> list[Any]:
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    from matplotlib import colormaps

    return [colormaps["turbo"](0.05 + 0.9 * number / (count - 1)) for number in range(count)]
