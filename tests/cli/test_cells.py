"""The life of a model of each cell, as a user calls it: train, stop, resume, sample, evaluate, quantize, look at."""

import json

import pytest
from safetensors.numpy import load_file

from tests.cli.conftest import SMALL

GATES = {"gru": 3, "lstm": 4, "rnn": 1}


@pytest.mark.parametrize("cell", GATES)
def test_train_sample_evaluate_quantize(cli, text_file, tmp_path, cell):
    out, small = tmp_path / "run", tmp_path / "small"
    options = [*SMALL, "--num-layers", "2", "--max-steps", "150", "--eval-every", "50"]
    trained = cli("train", text_file, "--out", out, "--cell", cell, *options)
    assert trained.exit_code == 0, trained.output
    assert f"{cell.upper()}, 2 x 24 units" in trained.output
    weights = load_file(out / "model.safetensors")
    assert weights[f"{cell}.weight_hh_l1"].shape == (24 * GATES[cell], 24)
    config = json.loads((out / "config.json").read_text())
    assert config["network"]["cell"] == cell
    assert f"{cell.upper()}, 2 x 24 units" in cli("info", out).stdout
    text = cli("sample", out, "-p", "The ", "-n", 60, "-s", 1)
    assert text.exit_code == 0
    assert len(text.stdout) == 4 + 60 + 1
    assert cli("quantize", out, "--out", small).exit_code == 0
    assert cli("sample", small, "-p", "The ", "-n", 60, "-s", 1).exit_code == 0
    losses = {run: json.loads(cli("eval", run, text_file, "--json").stdout)["loss"] for run in (out, small)}
    assert losses[out] < 3.2
    assert losses[small] == pytest.approx(losses[out], abs=0.02)


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_a_stopped_training_goes_on_to_the_same_bits(cli, text_file, tmp_path, cell, monkeypatch):
    """Also in the arrays of the state, which an LSTM has two of."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    options = ["--cell", cell, *SMALL, "--max-steps", "40", "--checkpoint-every", "15", "--eval-every", "20"]
    assert cli("train", text_file, "--out", whole, *options).exit_code == 0

    from textgru.training.trainer import Trainer

    step = Trainer.train_step

    def interrupted(self):
        event = step(self)
        if event.step == 17:
            self.stop()
        return event

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", interrupted)
        assert cli("train", text_file, "--out", stopped, *options).exit_code != 0
    assert cli("train", "--resume", stopped).exit_code == 0
    names = ("model.safetensors", "config.json")
    assert (stopped / names[0]).read_bytes() == (whole / names[0]).read_bytes()


def test_an_unknown_cell_is_refused(fails, text_file):
    assert "'--cell': 'transformer' is not one of 'gru', 'lstm', 'rnn'" in fails(
        "train", text_file, "--cell", "transformer"
    )


def test_weights_of_another_cell_are_refused(cli, fails, run, text_file, tmp_path):
    line = fails("train", text_file, "--out", tmp_path / "other", "--init-from", run, "--cell", "lstm")
    assert "cell" in line
    assert not (tmp_path / "other").exists()
