"""textgru sample --regex and --grammar."""

import json
import re

import textgru

REGEX = "(The|A) [a-z]{3,8}\\."


def test_texts_match_a_regular_expression(cli, run):
    result = cli("sample", run, "--regex", REGEX, "-s", 1, "--num-samples", 5, "--json", "--top-k", 9)
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["finish_reason"] for one in found] == ["stop"] * 5
    assert all(re.fullmatch(REGEX, one["text"]) for one in found)
    assert all(len(one["tokens"]) == len(one["log_probabilities"]) for one in found)
    shown = cli("sample", run, "--regex", REGEX, "-s", 1, "-p", "tam\n").stdout
    assert shown == textgru.load(run).generate("tam\n", regex=REGEX, seed=1) + "\n"


def test_a_file_is_a_grammar_or_a_schema(cli, run, tmp_path):
    (tmp_path / "words.lark").write_text('start: WORD (" " WORD)* "."\nWORD: "tar" | "wool"\n', encoding="utf-8")
    words = cli("sample", run, "--grammar", tmp_path / "words.lark", "-s", 1).stdout
    assert re.fullmatch(r"(tar|wool)( (tar|wool))*\.\n", words)
    (tmp_path / "schema.json").write_text('{"const": 1}', encoding="utf-8")
    told = cli("sample", run, "--grammar", tmp_path / "schema.json", "-s", 1)
    assert "json_schema: the model has no token for what must come" in told.stderr, "its text has no digits"
    assert told.exit_code == 2


def test_what_cannot_be_is_one_line(fails, run, tmp_path):
    for options, message in (
        (["--regex", "a", "--grammar", "x"], "--regex and --grammar: give one of them"),
        (["--regex", "a", "--save-state", "x"], "--save-state can't keep where a text stands in a --regex"),
        (["--regex", "a", "-i"], "--interactive can't keep where a text stands in a --regex"),
        (["--grammar", tmp_path / "none"], "none: no such file"),
        (["--regex", "("], "regex: unclosed group"),
        (["--regex", "Ω"], "regex: the model has no token for what must come"),
        (["--regex", "tar", "--ban", "a"], "regex: the model has no token for what must come"),
        (["--beams", "2", "--regex", "a"], "--beams draws nothing: leave out --regex"),
    ):
        assert message in fails("sample", run, *options)
