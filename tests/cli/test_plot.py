"""textgru plot."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import SMALL
from tests.cli.terminal import on_terminal


@pytest.fixture(scope="session")
def other_run(run, tmp_path_factory):
    """The same curves, a nat higher."""
    folder = tmp_path_factory.mktemp("cli-plot") / "other"
    shutil.copytree(run, folder)
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for event in events:
        for name in {"loss", "val_loss", "train_loss"} & event.keys():
            event[name] += 1
    (folder / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def best_of(run):
    return min(
        event["val_loss"]
        for event in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        if event["event"] == "evaluation"
    )


def rows_of(lines, letter):
    """The rows of the loss that this letter is in."""
    end = lines.index("learning rate")
    return [number for number, line in enumerate(lines[:end]) if re.search(rf"[│┤].*{letter}", line)]


def test_one_run_on_a_pipe(cli, run):
    result = cli("plot", run)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "tales: loss, nats a token"
    assert lines[1] == f"  ooo validation loss, best {best_of(run):.4f} at step 60"
    assert lines[2] == "  ... training loss, smoothed"
    assert len(rows_of(lines, "o")) > 3
    assert lines[-1].split() == ["0", "10", "20", "30", "40", "50", "steps"]
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b" not in result.stdout


def test_a_curve_falls_from_left_to_right(cli, run):
    lines = cli("plot", run).stdout.splitlines()
    rows = rows_of(lines, r"\.")
    places = [lines[row].index(".", 8) for row in rows]
    assert len(rows) > 5
    assert places == sorted(places)
    assert places[-1] - places[0] > 20


def test_several_runs_have_a_letter_each_the_best_first(cli, run, other_run):
    lines = cli("plot", other_run, run).stdout.splitlines()
    assert lines[1] == f"  111 tales: validation loss, best {best_of(run):.4f} at step 60"
    assert lines[2] == f"  222 other: validation loss, best {best_of(run) + 1:.4f} at step 60"
    assert np.mean(rows_of(lines, "1")) > np.mean(rows_of(lines, "2")) + 1  # lower down


def test_over_tokens_and_minutes(cli, run):
    assert cli("plot", run, "--x", "tokens").stdout.splitlines()[-1].split() == ["0", "2k", "4k", "6k", "tokens"]
    assert cli("plot", run, "--x", "minutes").stdout.splitlines()[-1].split()[-1] == "minutes"


@pytest.mark.parametrize(
    ("variables", "dots"),
    [({"TERM": "xterm-256color"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
def test_a_terminal_gets_dots_in_colour_if_it_can(run, other_run, variables, dots):
    text = on_terminal("plot", run, other_run, **variables)
    assert bool(re.search("\x1b\\[9\\dm[\u2801-\u28ff]", text)) == dots
    assert ("111 tales" in text) != dots


def test_an_encoding_without_frames(run):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run([sys.executable, "-m", "textgru", "plot", run], capture_output=True, env=environment)
    assert result.returncode == 0
    assert b"+-----" in result.stdout


def test_a_png_shows_the_curves(cli, run, other_run, tmp_path):
    """Each run's colour is in the image, the better run's lower down."""
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    from textgru.cli.charts.image import COLOURS

    result = cli("plot", run, other_run, "--out", tmp_path / "loss.png")
    assert result.stdout == f"saved in   {tmp_path / 'loss.png'}\n"
    image = imread(tmp_path / "loss.png")[:, :, :3]
    assert image.shape[0] > 500
    curves = image[: int(0.65 * image.shape[0]), : int(0.75 * image.shape[1])]  # without the legend and the rate
    better, worse = (
        np.nonzero(np.abs(curves - np.array(to_rgb(colour))).max(axis=2) < 0.02)[0] for colour in COLOURS[:2]
    )
    assert len(better) > 300
    assert len(worse) > 300
    assert better.mean() > worse.mean() + 50


def test_an_svg_is_the_same_each_time(cli, run, tmp_path):
    for name in ("one.svg", "two.SVG"):
        assert cli("plot", run, "-o", tmp_path / name).exit_code == 0
    assert b"<svg" in (tmp_path / "one.svg").read_bytes()
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.SVG").read_bytes()


def test_names_that_mean_something_to_matplotlib(cli, run, tmp_path):
    for name in ("_hidden", "a$b$_{", "日本", "plain"):
        shutil.copytree(run, tmp_path / name)
    result = cli(
        "plot", *(tmp_path / name for name in ("_hidden", "a$b$_{", "日本", "plain")), "-o", tmp_path / "x.png"
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert cli("plot", tmp_path / "a$b$_{", "-o", tmp_path / "y.png").exit_code == 0


@pytest.mark.parametrize("number", [7, 12, 60])
def test_many_runs(cli, run, tmp_path, number):
    runs = [tmp_path / f"run-{i}" for i in range(number)]
    for folder in runs:
        shutil.copytree(run, folder)
    assert cli("plot", *runs, "-o", tmp_path / "many.png").exit_code == 0
    assert cli("plot", *runs).stdout.count("validation loss, best") == number


def test_a_training_without_validation_and_a_very_short_one(cli, text_file, tmp_path):
    for name, options in (("unmeasured", ["--max-steps", 20, "--val-fraction", 0]), ("short", ["--max-steps", 1])):
        out = tmp_path / name
        assert cli("train", text_file, "--out", out, *options, *SMALL).exit_code == 0
        assert "training loss, smoothed" in cli("plot", out).stdout
        assert cli("plot", out, "-o", tmp_path / f"{name}.png").exit_code == 0
    both = cli("plot", tmp_path / "unmeasured", tmp_path / "short").stdout
    assert "222 unmeasured: training loss, smoothed" in both


def test_a_run_whose_process_was_killed(cli, run, tmp_path):
    shutil.copytree(run, tmp_path / "killed")
    whole = (run / "metrics.jsonl").read_bytes()
    (tmp_path / "killed" / "metrics.jsonl").write_bytes(whole[: len(whole) // 2 + 7])
    assert cli("plot", tmp_path / "killed").exit_code == 0


def test_bad_input_is_one_line(cli, fails, run, tmp_path):
    assert "no such run" in fails("plot", tmp_path / "none")
    assert "Missing argument 'RUN...'" in fails("plot")
    assert "loss.pdf: expected a file name that ends in .png or .svg" in fails("plot", run, "-o", tmp_path / "loss.pdf")
    assert "is no directory; make it first" in fails("plot", run, "-o", tmp_path / "none" / "loss.png")
    assert cli("quantize", run, "--out", tmp_path / "small").exit_code == 0
    assert "has no metrics.jsonl" in fails("plot", tmp_path / "small")
    result = cli("plot", run, tmp_path / "small")
    assert result.exit_code == 0
    assert result.stdout == cli("plot", run).stdout
    assert result.stderr.startswith(f"textgru: warning: {tmp_path / 'small'}: left out, ")
    shutil.copytree(run, tmp_path / "damaged")
    metrics = tmp_path / "damaged" / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[7:])
    assert "metrics.jsonl: damaged: line 1" in fails("plot", tmp_path / "damaged")


def test_an_image_needs_matplotlib_and_a_chart_does_not(cli, fails, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert fails("plot", run, "--out", tmp_path / "x.png").endswith("pip install matplotlib")
    assert not Path(tmp_path / "x.png").exists()
    assert cli("plot", run).exit_code == 0
