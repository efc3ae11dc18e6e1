"""Names, terminals and encodings as they come."""

import json
import os
import subprocess
import sys

import pytest

from tests.cli.conftest import SMALL

STEPS = ("--max-steps", 2, "--no-cache", *SMALL)


def called(*arguments, **environment):
    """What a process prints, as bytes; it has to succeed."""
    arguments = [argument if isinstance(argument, bytes) else str(argument) for argument in arguments]
    command = [sys.executable, "-m", "textgru", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def odd(text_file, tmp_path_factory):
    """A text and a run whose names are no UTF-8."""
    folder = os.fsencode(tmp_path_factory.mktemp("odd"))
    os.link(text_file, folder + b"/t\xe9xt.txt")
    called("train", folder + b"/t\xe9xt.txt", "--out", folder + b"/r\xfcn", "--sample-every", 1, *STEPS)
    return folder


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252", "latin-1"])
def test_names_that_are_no_utf_8(odd, encoding):
    run, environment = odd + b"/r\xfcn", {"PYTHONIOENCODING": encoding}
    shown = (lambda name: odd) if encoding == "ascii" else (lambda name: name)  # there click writes a mark for a byte
    assert shown(run) in called("info", run, **environment)
    config = json.loads((called("info", run, "--json", **environment)).decode("utf-8", "replace"))["config"]
    assert config["corpus"]["files"] == [os.fsdecode(odd) + "/t\\xe9xt.txt"]
    for command in ("compare", "plot", "sample", "info"):
        assert called(command, run, **environment)
    assert b"loss" in called("eval", run, odd + b"/t\xe9xt.txt", **environment)
    again = odd + b"/again-\xff"
    assert shown(again) in called("train", odd + b"/t\xe9xt.txt", "--init-from", run, "--out", again, "--overwrite",
                           "--max-steps", 1, "--batch-size", 8, "--seq-length", 16, **environment)  # fmt: skip
    assert shown(again + b"-int8") in called("quantize", again, "--overwrite", **environment)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp037"])
def test_a_terminal_that_lacks_characters(tmp_path, encoding):
    text = tmp_path / "Жук.txt"
    text.write_text("Жук и Ёж 😀 пошли домой.\n" * 300, encoding="utf-8")
    out = tmp_path / "Ё"
    called("train", text, "--out", out, "--sample-every", 1, *STEPS, PYTHONIOENCODING=encoding)
    for command in ("info", "compare", "plot", "sample"):
        called(command, out, PYTHONIOENCODING=encoding)


@pytest.mark.parametrize("columns", ["0", "-1", "", "x", "1", "2", "99999"])
def test_any_width(run, text_file, tmp_path, columns):
    for command in (["--help"], ["train", "--help"], ["plot", run], ["compare", run, run], ["corpora", "list"]):
        assert called(*command, COLUMNS=columns, LINES=columns)


@pytest.mark.parametrize("name", ["n" * 300, "n" * 5000, "x/" * 3000])
def test_names_that_are_too_long(run, text_file, tmp_path, fails, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["train", text_file, "--out", name, *STEPS], ["train", "--resume", name], ["info", name], ["sample", name],
        ["plot", name], ["compare", name], ["quantize", name], ["quantize", run, "--out", name],
        ["eval", name, text_file],
        ["train", text_file, "--init-from", name], ["train", text_file, "--config", name], ["train", name, *STEPS],
        ["plot", run, "--out", f"{name}.png"], ["eval", run, name],
    ):  # fmt: skip
        fails(*arguments)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", ""], ["train", "FILE", ""], ["train", "FILE", "--out", ""], ["train", "--resume", ""],
        ["train", "FILE", "--init-from", ""], ["train", "FILE", "--config", ""], ["train", "FILE", "--tokenizer", ""],
        ["train", "FILE", "--encoding", ""], ["sample", ""], ["info", ""], ["eval", "", "FILE"], ["eval", "RUN", ""],
        ["plot", ""], ["plot", "RUN", "--out", ""], ["compare", "RUN", ""], ["quantize", ""],
        ["quantize", "RUN", "--out", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_name_is_refused(run, text_file, tmp_path, fails, monkeypatch, arguments):
    """As from a variable of the shell that isn't set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.txt").write_text("never asked for")
    words = {"FILE": text_file, "RUN": run}
    fails(*(words.get(argument, argument) for argument in arguments))
    assert os.listdir(tmp_path) == ["other.txt"]
