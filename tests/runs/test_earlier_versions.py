"""Runs that version 0.1.0 wrote, of every kind: they are read, and what they answer is what they answered then."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import textgru
from textgru.cli import main

RUNS = Path(__file__).parents[1] / "data" / "runs_0.1.0"
EXPECTED = json.loads((RUNS / "expected.json").read_text(encoding="utf-8"))
GREEDY, EVALUATED = 'greedy 120 after "The ferry"', "eval text.txt"


def called(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(params=sorted(EXPECTED))
def run(request, tmp_path):
    """A copy; nothing that reads it may change it."""
    copy = tmp_path / request.param
    shutil.copytree(RUNS / request.param, copy)
    return copy


def files(run):
    return {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_it_writes_and_scores_as_then(run):
    before, expected = files(run), EXPECTED[run.name]
    text = called("sample", run, "--prompt", "The ferry", "--length", 120, "--temperature", 0)
    assert text == expected[GREEDY]
    scores = json.loads(called("eval", run, RUNS / "text.txt", "--json"))
    then = expected[EVALUATED]
    assert scores["loss"] == pytest.approx(then["loss"], rel=1e-4)
    assert scores["bits_per_char"] == pytest.approx(then["bits_per_char"], rel=1e-3)
    assert {name: scores[name] for name in ("tokens", "characters", "precision")} == {
        name: then[name] for name in ("tokens", "characters", "precision")
    }
    for command in (["info"], ["info", "--json"], ["compare"], ["plot"]):
        called(command[0], run, *command[1:])
    assert files(run) == before


def test_it_is_copied_and_trained_on_from(run, tmp_path):
    before = files(run)
    if textgru.load(run).precision == "fp32":
        called("quantize", run, "--out", tmp_path / "small")
        assert textgru.load(tmp_path / "small").run.scores == {
            name: value for name, value in textgru.load(run).run.scores.items() if name != "seconds"
        }
        assert json.loads(called("info", tmp_path / "small", "--json"))["seconds"] is not None
    called("train", RUNS / "text.txt", "--init-from", run, "--out", tmp_path / "more", "--max-steps", 2,
           "--batch-size", 4, "--seq-length", 16)  # fmt: skip
    assert files(run) == before


@pytest.mark.parametrize("name", sorted(name for name in EXPECTED if name.startswith("un-")))
def test_an_unfinished_training_goes_on(name, tmp_path):
    run = tmp_path / name
    shutil.copytree(RUNS / name, run)
    before = files(run)
    called("train", "--resume", run, "--dry-run")
    assert files(run) == before
    (run / "training" / "tokens.bin").write_bytes(before[Path("training", "tokens.bin")][:-1])
    with pytest.raises(textgru.InputError, match=r"tokens.bin: damaged: [\d,]+ bytes, expected "):
        textgru.resume(run)
    (run / "training" / "tokens.bin").write_bytes(before[Path("training", "tokens.bin")])
    assert "finished after" in called("train", "--resume", run)
    assert not (run / "training").exists()
