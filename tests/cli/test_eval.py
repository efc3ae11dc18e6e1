"""textgru eval and textgru quantize, as a user calls them."""

import json
import math
import os
import threading

import pytest

import textgru
from tests.cli.terminal import on_terminal
from tests.texts import sentences
from textgru.analysis.quality import measure
from textgru.training.run import TrainingRun


def test_it_says_what_the_library_says(cli, run, text_file):
    result = cli("eval", run, text_file, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    text = text_file.read_text(encoding="utf-8")
    score = textgru.load(run).score(text)
    assert facts["loss"] == score.loss
    assert facts["tokens"] == score.tokens == len(text) - 1
    assert facts["characters"] == len(text)
    assert facts["perplexity"] == math.exp(score.loss)
    assert math.isclose(facts["bits_per_char"], score.loss / math.log(2))
    assert facts["precision"] == "fp32"
    assert f"{score.loss:.4f} nats a token" in cli("eval", run, text_file).stdout


def test_what_it_says_of_predictions_is_what_the_library_says(cli, run, text_file):
    facts = json.loads(cli("eval", run, text_file, "--json").stdout)
    model = textgru.load(run)
    quality = measure(model.network, model.tokenizer.encode(text_file.read_text(encoding="utf-8")))
    assert facts["accuracy"] == quality.accuracy
    assert facts["top5_accuracy"] == quality.top5_accuracy
    assert facts["calibration_error"] == quality.calibration_error
    assert 0.1 < facts["accuracy"] < facts["top5_accuracy"] < 1
    shown = cli("eval", run, text_file).stdout
    assert f"{100 * facts['accuracy']:.1f}% of tokens were the likeliest" in shown
    assert f"{facts['bits_per_byte']:.4f} bits each" in shown


def test_the_mean_of_score_is_the_loss_of_eval(cli, run, text_file):
    loss = json.loads(cli("eval", run, text_file, "--json").stdout)["loss"]
    tokens = [json.loads(line) for line in cli("score", run, text_file, "--json").stdout.splitlines()]
    assert tokens[0]["bits"] is None
    mean = sum(token["bits"] for token in tokens[1:]) / (len(tokens) - 1)
    assert math.isclose(mean * math.log(2), loss, abs_tol=1e-6)


def test_bytes_are_those_of_the_text_in_utf8(cli, run, tmp_path):
    text = "Zoë told 日本 a tale.\n" * 20
    (tmp_path / "utf-8").write_text("\ufeff" + text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    (tmp_path / "utf-16").write_text(text, encoding="utf-16")
    found = [
        json.loads(cli("eval", run, tmp_path / name, "--json", "--encoding", name).stdout)
        for name in ("utf-8", "utf-16")
    ]
    assert found[0] == found[1]
    assert found[0]["bytes"] == len(text.encode())
    assert found[0]["characters"] == len(text)
    bits = found[0]["loss"] / math.log(2) * (found[0]["tokens"] + 1)
    assert math.isclose(found[0]["bits_per_byte"], bits / len(text.encode()))


def test_several_runs_side_by_side(cli, fails, run, text_file, tmp_path):
    options = [
        "--tokenizer",
        "byte",
        "--max-steps",
        "5",
        "--hidden-size",
        "8",
        "--batch-size",
        "8",
        "--seq-length",
        "16",
    ]
    assert cli("train", text_file, "--out", tmp_path / "bytes", *options).exit_code == 0
    found = json.loads(cli("eval", tmp_path / "bytes", text_file, "--compare", run, "--json").stdout)
    assert [facts["name"] for facts in found] == ["tales", "bytes"]  # the best first
    assert found[0]["bits_per_byte"] < found[1]["bits_per_byte"]
    for facts, path in zip(found, (run, tmp_path / "bytes"), strict=True):
        alone = json.loads(cli("eval", path, text_file, "--json").stdout)
        assert facts == {"name": path.name, "path": str(path), **alone}
    lines = cli("eval", tmp_path / "bytes", text_file, "-c", run, "-c", run).stdout.splitlines()
    assert lines[0].split()[:3] == ["run", "tokenizer", "bits/byte"]
    assert [line.split()[1] for line in lines[1:]] == ["char", "char", "byte"]
    assert f"{found[0]['bits_per_byte']:.4f}" in lines[1]
    assert "no such run" in fails("eval", run, text_file, "--compare", tmp_path / "none")


def test_unknown_characters_are_said(cli, run, text_file, tmp_path):
    (tmp_path / "odd").write_text("Жук " * 50, encoding="utf-8")
    result = cli("eval", run, tmp_path / "odd", "--compare", run)
    assert "tales" in result.stdout
    assert "75.0% of the text's tokens are unknown to the model" in result.stderr


def test_files_and_standard_input_are_one_text(cli, run, tmp_path):
    (tmp_path / "a").write_text("The ferry crossed ", encoding="utf-8")
    (tmp_path / "b").write_text("the river.", encoding="utf-8")
    both = json.loads(cli("eval", run, tmp_path / "a", tmp_path / "b", "--json").stdout)
    piped = json.loads(cli("eval", run, "-", tmp_path / "b", "--json", stdin="The ferry crossed ").stdout)
    assert both == piped
    assert both["loss"] == textgru.load(run).score("The ferry crossed the river.").loss


def test_a_pipe_is_a_text_too(cli, fails, run, tmp_path):
    text, pipe = sentences(2000), tmp_path / "pipe"
    os.mkfifo(pipe)

    def through_a_pipe(data, *options):
        writer = threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True)
        writer.start()
        try:
            return (fails if b"\xff" in data else cli)("eval", run, pipe, *options)
        finally:
            writer.join(10)

    facts = json.loads(through_a_pipe(text.encode(), "--json").stdout)
    assert facts["loss"] == textgru.load(run).score(text).loss
    assert f"error: {pipe}: not utf-8 text: byte 3" in through_a_pipe(b"abc\xff")
    assert "error: standard input: not utf-8 text: byte 3" in fails("eval", run, "-", stdin=b"abc\xff")
    assert "is a device, not a text" in fails("eval", run, "/dev/full")
    assert "an empty name" in fails("eval", run, "")


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_held_out_text_costs_the_same_bits_as_when_it_was_held_out(kind, cli, tmp_path):
    text = "".join(f"Zoë told {i} of {i * i} tales.\n" for i in range(200))
    file = tmp_path / "tales.txt"
    file.write_text(text, encoding="utf-8")
    settings = {"max_steps": 20, "batch_size": 4, "seq_length": 16}
    network = {"hidden_size": 16}
    with TrainingRun([file], tmp_path / "run", tokenizer=kind, training=settings, network=network) as training:
        list(training.events())
        tail = training.tokenizer.decode(training.corpus.validation)
    (tmp_path / "tail.txt").write_text(tail, encoding="utf-8")
    facts = json.loads(cli("eval", tmp_path / "run", tmp_path / "tail.txt", "--json").stdout)
    scores = textgru.load(tmp_path / "run").run.scores
    assert math.isclose(facts["loss"], scores["val_loss"], rel_tol=1e-5)
    assert math.isclose(facts["bits_per_char"], scores["bits_per_char"], rel_tol=1e-5)


def test_a_bar_shows_how_far_it_is_on_a_terminal_only(cli, run, text_file):
    assert "scoring" in on_terminal("eval", run, text_file, stream="stderr", TERM="xterm")
    assert cli("eval", run, text_file).stderr == ""


def test_precision(cli, run, text_file):
    exact, rounded = (
        json.loads(cli("eval", run, text_file, "--json", "--precision", precision).stdout)
        for precision in ("fp32", "int8")
    )
    assert rounded["precision"] == "int8"
    assert 0 < abs(rounded["loss"] - exact["loss"]) < 0.002


def test_bad_input_is_one_line(fails, run, tmp_path):
    (tmp_path / "one").write_text("x")
    (tmp_path / "empty").write_text("")
    assert "too little text" in fails("eval", run, tmp_path / "one")
    assert "no text in it" in fails("eval", run, tmp_path / "empty")
    assert "no such file" in fails("eval", run, tmp_path / "none")
    assert "no such run" in fails("eval", tmp_path / "none", tmp_path / "one")
    assert "'int4' is not one of" in fails("eval", run, tmp_path / "one", "--precision", "int4")


def test_quantize_saves_a_smaller_run(cli, fails, run, tmp_path):
    result = cli("quantize", run, "--out", tmp_path / "small")
    assert result.exit_code == 0, result.output
    sizes = [(path / "model.safetensors").stat().st_size for path in (tmp_path / "small", run)]
    assert result.stdout == f"saved in   {tmp_path / 'small'}; weights {sizes[0]:,} bytes, before {sizes[1]:,}\n"
    assert sizes[0] < sizes[1] / 2
    facts = json.loads(cli("info", tmp_path / "small", "--json").stdout)
    assert facts["precision"] == "int8"
    assert "in 8-bit integers" in cli("info", tmp_path / "small").stdout
    written = cli("sample", tmp_path / "small", "-n", 100, "-s", 1).stdout
    assert written == textgru.load(tmp_path / "small").generate(length=100, seed=1) + "\n"
    assert cli("sample", tmp_path / "small", "-n", 100, "-s", 1, "--precision", "fp32").exit_code == 0
    assert "holds another run" in fails("quantize", run, "--out", tmp_path / "small")
    assert cli("quantize", run, "--out", tmp_path / "small", "--overwrite").exit_code == 0
    assert "no such run" in fails("quantize", tmp_path / "none")


def test_quantize_names_the_new_run_after_the_old_one(cli, run):
    assert cli("quantize", run).exit_code == 0
    assert textgru.load(run.with_name("tales-int8")).precision == "int8"


def test_a_long_text_is_read_in_parts_unless_exactly(cli, run, tmp_path):
    text = sentences(70_000, seed=3)
    (tmp_path / "long").write_text(text, encoding="utf-8")
    parts, exact = (
        json.loads(cli("eval", run, tmp_path / "long", "--json", *option).stdout) for option in ([], ["--exact"])
    )
    assert exact["loss"] == textgru.load(run).score(text).loss
    assert parts["loss"] != exact["loss"]
    assert math.isclose(parts["loss"], exact["loss"], abs_tol=1e-6)
    assert parts["tokens"] == exact["tokens"] == len(text) - 1


def test_the_dynamic_loss_is_a_figure_of_its_own(cli, run, text_file):
    plain = json.loads(cli("eval", run, text_file, "--json").stdout)
    both = json.loads(cli("eval", run, text_file, "--json", "--dynamic").stdout)
    dynamic = both.pop("dynamic")
    assert both == plain
    assert dynamic["loss"] < plain["loss"]
    assert math.isclose(dynamic["bits_per_char"], dynamic["loss"] / math.log(2))
    assert f"dynamic     {dynamic['loss']:.4f} nats a token" in cli("eval", run, text_file, "--dynamic").stdout


def test_a_model_that_has_read_a_text_writes_in_its_manner(cli, run, fails, tmp_path):
    (tmp_path / "letters").write_text("zzz " * 3000, encoding="utf-8")
    (tmp_path / "short").write_text("a", encoding="utf-8")
    plain = cli("sample", run, "-n", 100, "-s", 1).stdout
    adapted = cli("sample", run, "-n", 100, "-s", 1, "--adapt", tmp_path / "letters").stdout
    model = textgru.load(run).adapt("zzz " * 3000)
    assert adapted == model.generate(length=100, seed=1) + "\n"
    assert adapted != plain
    assert "text: too little to follow" in fails("sample", run, "--adapt", tmp_path / "short")
    assert "no such file" in fails("sample", run, "--adapt", tmp_path / "none")
