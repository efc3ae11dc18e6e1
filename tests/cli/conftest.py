"""A text, a trained run, and a way to call the command line, for all tests of it."""

import pytest
from click.testing import CliRunner

from tests.texts import sentences
from textgru.cli import main

SMALL = ["--hidden-size", "24", "--embedding-size", "8", "--batch-size", "8", "--seq-length", "16"]


@pytest.fixture
def cli():
    """Calls textgru with these arguments; the result has exit_code, stdout and stderr."""

    def call(*arguments, stdin=None):
        return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)

    return call


@pytest.fixture
def fails(cli):
    """Calls textgru, which has to fail with exit code 2 and one line; the line."""

    def call(*arguments, stdin=None, code=2):
        result = cli(*arguments, stdin=stdin)
        assert result.exit_code == code, result.output
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("textgru: error: ")
        return lines[0]

    return call


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("cli-text") / "tales.txt"
    file.write_text(sentences(30_000), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def run(text_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("cli-runs") / "tales"
    result = CliRunner().invoke(
        main, ["train", str(text_file), "--out", str(out), "--max-steps", "60", "--optimizer", "adamw", *SMALL]
    )
    assert result.exit_code == 0, result.output
    return out
