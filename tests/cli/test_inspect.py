"""textgru inspect, as a user calls it."""

import json

import numpy as np

import textgru
from tests.cli.terminal import on_terminal
from textgru.analysis.inspect import inspect


def test_it_says_what_the_library_says(cli, run, text_file):
    model, text = textgru.load(run), text_file.read_text(encoding="utf-8")[:2000]
    found = inspect(model.network, model.tokenizer, text)
    facts = json.loads(cli("inspect", run, text, "--json", "--top", 3).stdout)
    assert "".join(facts["tokens"]) == text
    assert [(one["unit"], one["feature"]) for one in facts["units"]] == [(u.unit, u.feature) for u in found.telling(3)]
    for one in facts["units"]:
        assert set(one["values"]) == {"r", "z", "n", "h"}
        for name, values in one["values"].items():
            np.testing.assert_allclose(values, found.gates[0][name][:, one["unit"]], rtol=1e-6)
    printed = cli("inspect", run, "-", "--units", "3,17", stdin=text).stdout.splitlines()
    assert printed[0] == "2,000 tokens read"
    assert [line.split()[:2] for line in printed[2:]] == [["0", "3"], ["0", "17"]]
    for line, unit in zip(printed[2:], found.describe(0, [3, 17]), strict=True):
        assert line.endswith(f"{unit.correlation:+.2f}  {unit.feature}")


def test_a_page_is_written(cli, run, text_file, tmp_path):
    result = cli("inspect", run, "--file", text_file, "--html", tmp_path / "a.html")
    assert "error" in result.stderr  # 30,000 tokens
    (tmp_path / "some.txt").write_text("The ferry <crossed>.\n" * 150, encoding="utf-8")
    result = cli("inspect", run, "--file", tmp_path / "some.txt", "--html", tmp_path / "a.html", "--top", 2)
    assert result.stdout.endswith(f"saved in   {tmp_path / 'a.html'}\n")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "What the units of tales do" in page
    assert "<crossed>" not in page
    assert "The first 2,000 of them are shown" in page
    assert page.count("<details") == 8


def test_text_has_colours_on_a_terminal(cli, run):
    arguments = ("inspect", str(run), "The ferry", "--units", "5", "--show", "3")
    shown = on_terminal(*arguments, TERM="xterm-256color", COLORTERM="truecolor", COLUMNS="80")
    assert shown.count("\x1b[37;48;2;") == 3
    plain = cli(*arguments).stdout
    assert "\x1b[" not in plain
    assert "layer 0, unit 5" not in plain
    assert "\x1b[37;48" not in on_terminal(*arguments, TERM="xterm-256color", NO_COLOR="1")


def test_bad_input_is_one_line(fails, run, tmp_path):
    assert "give a TEXT (- for standard input), or --file FILE" in fails("inspect", run)
    assert "give a TEXT (- for standard input), or --file FILE" in fails("inspect", run, "a", "--file", "b")
    assert "text: expected 1 to 20,000 tokens, got 0" in fails("inspect", run, "")
    assert "no such file" in fails("inspect", run, "--file", tmp_path / "none")
    assert "units: expected numbers from 0 to 23, got 24" in fails("inspect", run, "a", "--units", "24")
    assert "expected numbers such as 4,8,16, got '3;4'" in fails("inspect", run, "a", "--units", "3;4")
    assert "layer: expected a number from 0 to 0, got 1" in fails("inspect", run, "a", "--layer", 1)
    assert "is a folder" in fails("inspect", run, "a", "--html", tmp_path)
    assert "no such run" in fails("inspect", tmp_path / "none", "a")
