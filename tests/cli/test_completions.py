"""Tab, in the shells themselves: what they offer is asked of textgru through the script that it gives them."""

import os
import shutil
import subprocess
import sys

import pytest

import textgru
from tests.texts import sentences

# What each shell does when Tab is pressed after a line, and prints.
SHELLS = {
    "bash": """
        eval "$(_TEXTGRU_COMPLETE=bash_source textgru)"
        compopt() { compgen -f -- "${COMP_WORDS[-1]}"; }  # readline does that, which isn't there
        COMP_WORDS=(@WORDS@); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _textgru_completion textgru
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { }
        compadd() { local last=$@[-1]; print -rl -- ${(P)last} }
        _describe() { print -rl -- ${${(P)3}%%:*} }
        _path_files() { print -rl -- *(N) }
        eval "$(_TEXTGRU_COMPLETE=zsh_source textgru)"
        words=(@WORDS@); CURRENT=${#words}
        _textgru_completion
    """,
    "fish": """
        _TEXTGRU_COMPLETE=fish_source textgru | source
        complete --do-complete "@LINE@" | string split --fields 1 \\t
    """,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two runs, one that has saved nothing, what is none, and textgru on the PATH."""
    folder = tmp_path_factory.mktemp("tab")
    (folder / "text.txt").write_text(sentences(2000))
    settings = {
        "hidden_size": 8,
        "num_layers": 1,
        "embedding_size": 8,
        "max_steps": 2,
        "batch_size": 4,
        "seq_length": 8,
    }
    textgru.train(folder / "text.txt", folder / "runs" / "first", cache=False, **settings)
    shutil.copytree(folder / "runs" / "first", folder / "runs" / "second")
    shutil.copytree(folder / "runs" / "first", folder / "alone")
    (folder / "runs" / "begun" / "training.new").mkdir(parents=True)
    (folder / "runs" / "notes").mkdir()
    (folder / "bin").mkdir()
    program = folder / "bin" / "textgru"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m textgru "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.fixture(params=SHELLS)
def tab(request, place):
    """Returns what a shell offers after a line."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")

    def offered(line):
        words = line + ("''" if line.endswith(" ") and request.param != "fish" else "")
        script = SHELLS[request.param].replace("@WORDS@", words).replace("@LINE@", line)
        environment = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}", "HOME": str(place)}
        done = subprocess.run(
            [request.param, "-c", script], cwd=place, env=environment, capture_output=True, text=True, timeout=60
        )
        assert not done.stderr, done.stderr
        return [line for line in done.stdout.splitlines() if line]

    return offered


def test_commands_and_options(tab):
    assert tab("textgru tr") == ["train"]
    assert tab("textgru train --prese") == ["--preset"]


def test_presets(tab):
    assert set(tab("textgru train --preset ")) == {"tiny", "small", "medium", "large"}


def test_runs(tab):
    assert set(tab("textgru sample ")) == {"alone", "runs/begun", "runs/first", "runs/second"}
    assert set(tab("textgru compare alone runs/f")) == {"runs/first"}
    assert set(tab("textgru train --resume runs/b")) == {"runs/begun"}


def test_corpora(tab):
    assert tab("textgru corpora fetch tiny-") == ["tiny-shakespeare"]


def test_files(tab):
    assert "text.txt" in tab("textgru train tex")
