"""textgru embed, as a user calls it."""

import json

import numpy as np

import textgru
from tests.cli.terminal import on_terminal


def test_vectors_are_printed_or_saved(cli, run, tmp_path):
    model, texts = textgru.load(run), ["the ferry", "old tam", "-x"]
    result = cli("embed", run, "--", *texts)
    assert result.exit_code == 0, result.output
    printed = np.array([json.loads(line) for line in result.stdout.splitlines()], np.float32)
    np.testing.assert_array_equal(printed, np.float32([[f"{n:.7g}" for n in row] for row in model.embed(texts)]))
    (tmp_path / "lines.txt").write_text("the ferry\r\n\nold tam\n", encoding="utf-8")
    saved = tmp_path / "x.npy"
    for pool in ("last", "mean"):
        result = cli("embed", run, "--lines", tmp_path / "lines.txt", "--pool", pool, "-o", saved)
        assert result.stdout == f"saved in   {saved}; 3 x 24 numbers\n"
        np.testing.assert_array_equal(np.load(saved), model.embed(["the ferry", "", "old tam"], pool=pool))
    cli("embed", run, "--lines", "-", "-o", saved, stdin="one\ntwo")
    assert np.load(saved).shape == (2, 24)


def test_a_bar_shows_how_far_it_is_on_a_terminal_only(cli, run):
    assert "reading" in on_terminal("embed", run, "the ferry", stream="stderr", TERM="xterm")
    assert cli("embed", run, "the ferry").stderr == ""


def test_bad_input_is_one_line(fails, run, tmp_path):
    assert "give one or more TEXTs, or --lines FILE" in fails("embed", run)
    assert "give one or more TEXTs, or --lines FILE" in fails("embed", run, "a", "--lines", "-")
    assert "no such file" in fails("embed", run, "--lines", tmp_path / "none")
    assert "standard input: no text in it" in fails("embed", run, "--lines", "-", stdin="")
    assert "is a folder" in fails("embed", run, "a", "-o", tmp_path)
    assert "can't be written" in fails("embed", run, "a", "-o", tmp_path / "none" / "x.npy", code=1)
    assert "no such run" in fails("embed", tmp_path / "none", "a")
    assert "'max' is not one of" in fails("embed", run, "a", "--pool", "max")
