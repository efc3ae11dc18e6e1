"""textgru novelty, as a user calls it."""

import json

import pytest
from click.testing import CliRunner

import textgru
from tests.cli.conftest import SMALL
from textgru.analysis.novelty import novelty
from textgru.cli import main


def test_it_says_what_the_library_says(cli, run, text_file, tmp_path):
    text = text_file.read_text(encoding="utf-8")
    own = "¿¿¿" + text[1000:1200] + "¿¿¿"
    (tmp_path / "own.txt").write_text(own, encoding="utf-8")
    facts = json.loads(cli("novelty", run, tmp_path / "own.txt", "--json").stdout)
    result = novelty(own, textgru.load(run).run)
    assert facts["longest"] == result.longest == text[1000:1200]
    assert (facts["start"], facts["place"], facts["longest_characters"]) == (3, text.index(result.longest), 200)
    assert facts["same_text"] is True
    assert [size["n"] for size in facts["ngrams"]] == [2, 4, 8, 16, 32, 64]
    assert facts["ngrams"][1] == {"n": 4, "count": 203, "new": 6 / 203, "copied": 200 / 206}
    printed = cli("novelty", run, "-", "--sizes", "4", stdin=own)
    assert printed.stderr == ""
    lines = printed.stdout.splitlines()
    assert lines[0] == "text     206 characters, looked for in 30,000"
    assert lines[1].startswith("longest  200 characters in both (97.1% of the text), at character 1,000:")
    assert lines[2].strip() == repr(text[1000:1200])
    assert lines[-1].split() == ["4", "3.0%", "97.1%"]


def test_nothing_in_common(cli, run):
    result = cli("novelty", run, stdin="¿")
    assert "no character is in both" in result.stdout
    assert result.stdout.splitlines()[-1].split() == ["64", "-", "0.0%"]


def test_a_long_passage_is_shown_in_part(cli, run, text_file):
    text = text_file.read_text(encoding="utf-8")
    result = cli("novelty", run, text_file)
    assert repr(f"{text[:200]} ... {text[-200:]}") in result.stdout


def test_another_text_is_told(cli, run, tmp_path):
    (tmp_path / "other.txt").write_text("a text of its own", encoding="utf-8")
    result = cli("novelty", run, "--text", tmp_path / "other.txt", stdin="of its")
    assert result.exit_code == 0
    assert result.stderr == "textgru: warning: this is not the text that the model was trained on, or it has changed\n"
    assert "longest  6 characters" in result.stdout


def test_a_text_that_is_gone_is_one_line(fails, tmp_path):
    (tmp_path / "t.txt").write_text("a text that goes away soon. " * 50, encoding="utf-8")
    result = CliRunner().invoke(
        main, ["train", str(tmp_path / "t.txt"), "--out", str(tmp_path / "run"), "--max-steps", "1", *SMALL]
    )
    assert result.exit_code == 0, result.output
    (tmp_path / "t.txt").unlink()
    assert "is not there; name the text with --text FILE" in fails("novelty", tmp_path / "run", stdin="a")


def test_a_run_from_standard_input_has_no_text(cli, fails, tmp_path):
    text = "a text that was piped. " * 60
    assert cli("train", "-", "--out", tmp_path / "run", "--max-steps", "1", *SMALL, stdin=text).exit_code == 0
    assert "was trained on standard input, which is gone; name" in fails("novelty", tmp_path / "run", stdin="a")
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    result = cli("novelty", tmp_path / "run", "--text", tmp_path / "t.txt", stdin="was piped")
    assert result.exit_code == 0
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("options", "stdin", "message"),
    [
        (["none.txt"], None, "none.txt: no such file"),
        (["-", "--text", "-"], "a", "standard input can't be both texts"),
        (["--text", "none.txt"], "a", "none.txt: no such file"),
        (["--sizes", "2,x"], "a", "expected numbers such as 4,8,16, got '2,x'"),
        (["--sizes", "0"], "a", "sizes: expected lengths from 1 to 10,000, got 0"),
        (["--encoding", "klingon"], "a", "klingon"),
        ([], "", "text: is empty"),
        ([], b"\xff", "standard input: not utf-8 text"),
    ],
)
def test_bad_input_is_one_line(options, stdin, message, fails, run):
    assert message in fails("novelty", run, *options, stdin=stdin)
