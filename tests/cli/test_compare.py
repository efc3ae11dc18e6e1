"""textgru compare."""

import json
import re

import pytest

import textgru
from tests.cli.conftest import SMALL
from tests.cli.terminal import on_terminal


@pytest.fixture(scope="session")
def train(text_file, tmp_path_factory):
    """Trains a run of this name with these options; its directory."""
    folder = tmp_path_factory.mktemp("cli-compare")

    def trained(name, *options, file=text_file):
        from click.testing import CliRunner

        from textgru.cli import main

        arguments = ["train", file, "--out", folder / name, "--max-steps", 20, "--optimizer", "adamw",
                     *SMALL, *options]  # fmt: skip
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return folder / name

    return trained


@pytest.fixture(scope="session")
def fast(train):
    return train("fast", "--lr", 0.02, "--dropout", 0.1)


def table(output):
    """Row by row, a column's name -> what stands below it."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in output.splitlines() if "  " in line.strip()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def test_the_best_comes_first_with_its_figures(cli, run, fast):
    result = cli("compare", fast, run)
    assert result.exit_code == 0
    assert result.stderr == ""
    first, second = table(result.stdout)
    scores = textgru.load(run).run.scores
    assert first["run"] == "tales"  # three times the steps
    assert second["run"] == "fast"
    assert first["network"] == "1 x 24, emb 8"
    assert first["tokenizer"] == f"char {textgru.load(run).tokenizer.vocab_size}"
    assert first["nats/token"] == f"{scores['val_loss']:.4f}"
    assert first["bits/char"] == f"{scores['bits_per_char']:.3f}"
    assert first["step"] == "60"
    assert first["tokens"] == "7.68k"
    assert float(first["bits/char"]) < float(second["bits/char"])
    assert result.stdout.splitlines()[-1] == "text: tales.txt (30k characters)"


def test_of_the_settings_those_that_differ(cli, run, fast):
    first, second = table(cli("compare", run, fast).stdout)
    assert {"learning_rate", "dropout", "max_steps"} == set(first) - {
        "run", "network", "tokenizer", "parameters", "nats/token", "bits/char", "step", "tokens", "minutes",
    }  # fmt: skip
    assert (first["learning_rate"], second["learning_rate"]) == ("0.004", "0.02")
    assert (first["dropout"], second["dropout"]) == ("0", "0.1")
    assert "learning_rate" not in cli("compare", run).stdout


def test_json_is_an_array_of_everything(cli, run, fast):
    array = json.loads(cli("compare", fast, run, "--json").stdout)
    assert [facts["name"] for facts in array] == ["tales", "fast"]
    assert [facts["path"] for facts in array] == [str(run), str(fast)]
    known = json.loads(cli("info", run, "--json").stdout)
    for name in ("val_loss", "bits_per_char", "parameters", "vocab_size", "step", "tokens_seen"):
        assert array[0][name] == known[name]
    assert array[0]["minutes"] == known["seconds"] / 60
    assert array[1]["settings"]["learning_rate"] == 0.02
    assert array[1]["settings"]["dropout"] == 0.1


def test_another_text_is_warned_of(cli, run, train, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("another text, " * 500)
    result = cli("compare", run, train("other-text", file=other), "--json")
    assert "warning: the runs were validated on different texts" in result.stderr
    assert len(json.loads(result.stdout)) == 2
    assert "other.txt (7k characters)" in cli("compare", run, train("other-text", "--overwrite", file=other)).stdout


def test_another_part_of_the_text_is_warned_of(cli, run, train):
    held = train("held", "--val-fraction", 0.11)
    assert "different parts of the text" in cli("compare", run, held).stderr
    assert "different parts of the text" in cli("compare", train("bytes-held", "--tokenizer", "byte"), held).stderr


def test_other_tokenizers_are_compared_by_the_character(cli, run, train):
    result = cli("compare", run, train("subwords", "--tokenizer", "bpe", "--vocab-size", 300))
    assert "compare bits a character, not nats a token" in result.stderr
    rows = table(result.stdout)
    assert sorted(rows, key=lambda row: float(row["bits/char"])) == rows
    assert {row["run"]: row["tokenizer"] for row in rows}["subwords"] == "bpe 300"


def test_an_unmeasured_run_comes_last_and_a_quantized_one_counts(cli, run, train, tmp_path):
    unmeasured = train("unmeasured", "--val-fraction", 0)
    assert cli("quantize", run, "--out", tmp_path / "small").exit_code == 0
    result = cli("compare", unmeasured, run, tmp_path / "small")
    rows = table(result.stdout)
    assert [row["run"] for row in rows] == ["tales", "small", "unmeasured"]
    assert rows[1]["network"] == "1 x 24, emb 8, int8"
    assert rows[2]["nats/token"] == rows[2]["bits/char"] == "-"
    assert result.stderr == ""


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_cuts_nothing_off(run, fast, columns):
    output = on_terminal("compare", run, fast, TERM="xterm", COLUMNS=str(columns))
    lines = re.sub("\x1b\\[[\\d;]*m", "", output).splitlines()
    assert all(len(line) <= columns for line in lines)
    words = " ".join(lines)
    for word in ("network", "1 x 24, emb 8", "bits/char", "minutes", "learning_rate", "0.004", "0.02", "dropout"):
        assert word in words
    assert "…" not in words
    assert len([line for line in lines if line.startswith("tales")]) == {60: 3, 80: 2, 200: 1}[columns]


def test_bad_input_is_one_line(fails, run, tmp_path):
    assert "no such run" in fails("compare", run, tmp_path / "none")
    assert "Missing argument 'RUN...'" in fails("compare")
