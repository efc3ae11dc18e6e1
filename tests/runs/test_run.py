"""The run directory: what is written, and what a reader says of a damaged one."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from textgru.atomic_files import write_atomically
from textgru.errors import InputError, TextgruError
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.runs.run import Run, network_settings
from textgru.runs.writer import NewRun
from textgru.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train("char", lambda: ["abc\n"])
CONFIG = NetworkConfig(vocab_size=5, embedding_size=3, hidden_size=4, num_layers=2)


def write_run(out, config=CONFIG, seed=0, **options):
    network = Network(config, seed=seed)
    with NewRun(out, **options) as writer:
        writer.write_settings({"network": network_settings(config)}, TOKENIZER)
        writer.save_weights(network, {"val_loss": 1.5, "step": 10})
        writer.append_metrics({"event": "end"})
    return network


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "run")
    return tmp_path / "run"


def hidden_files(folder):
    return [name for name in os.listdir(folder) if name.startswith(".")]


@pytest.mark.parametrize("tie", [False, True])
def test_what_is_written_is_read(tmp_path, tie):
    config = NetworkConfig(5, 4, 4, 2, dropout=0.25, tie_weights=tie)
    network = write_run(tmp_path / "a" / "b", config)
    found = Run.read(tmp_path / "a" / "b")
    assert found.network == config
    assert found.scores == {"val_loss": 1.5, "step": 10}
    assert found.tokenizer.encode("cab").tolist() == TOKENIZER.encode("cab").tolist()
    loaded = found.load_network()
    np.testing.assert_array_equal(loaded.parameters.values, network.parameters.values)
    assert sorted(os.listdir(tmp_path / "a" / "b")) == [
        "config.json", "metrics.jsonl", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    assert hidden_files(tmp_path / "a") == []


def test_weights_load_into_pytorch(run):
    torch = pytest.importorskip("torch")
    weights = load_file(run / "model.safetensors")
    module = torch.nn.GRU(3, 4, 2)
    module.load_state_dict({k.removeprefix("gru."): torch.tensor(v) for k, v in weights.items() if "gru." in k})
    x = np.random.default_rng(0).standard_normal((6, 3, 3)).astype(np.float32)
    ours = Run.read(run).load_network().recurrent.forward(x)[0]
    np.testing.assert_allclose(module(torch.tensor(x))[0].detach().numpy(), ours, atol=1e-6)


def test_nothing_stays_of_a_run_without_weights(tmp_path):
    with NewRun(tmp_path / "a" / "b" / "run") as writer:
        writer.write_settings({}, TOKENIZER)
        with pytest.raises(InputError, match="run: is not a run directory .its training has saved nothing yet"):
            Run.read(tmp_path / "a" / "b" / "run")
    assert os.listdir(tmp_path) == []


def test_another_run_is_replaced_only_when_told_and_only_by_a_whole_one(run):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(InputError, match="holds another run; .*--overwrite"):
        NewRun(run)
    with pytest.raises(RuntimeError), NewRun(run, overwrite=True) as writer:
        writer.write_settings({"network": network_settings(CONFIG)}, TOKENIZER)
        raise RuntimeError
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    network = write_run(run, seed=7, overwrite=True)
    np.testing.assert_array_equal(Run.read(run).load_network().parameters.values, network.parameters.values)
    assert hidden_files(run.parent) == []


def test_other_files_are_never_touched(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name in ("file", "folder"):
        with pytest.raises(InputError, match="choose another --out"):
            NewRun(tmp_path / name, overwrite=True)
    assert (tmp_path / "folder" / "thesis.txt").read_text() == "mine"
    write_run(tmp_path / "empty")
    assert (tmp_path / "empty" / "config.json").exists()


def test_an_out_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"run: can't be (read|written): Not a directory"):
        NewRun(tmp_path / "file" / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(InputError, match="can't be written: Permission denied"):
        NewRun(tmp_path / "locked" / "run")


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "weights"
    write_atomically(file, b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TextgruError, match="weights: can't be written: No space left on device"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights"]


def edit_config(run, change):
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


def edit_weights(run, change):
    weights = load_file(run / "model.safetensors")
    change(weights)
    save_file(weights, run / "model.safetensors")


def cut(path, part):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])


NAME = "gru.weight_hh_l1"
DAMAGES = {
    "not a run": (lambda run: (run / "config.json").unlink(), "not a run directory"),
    "config cut short": (lambda run: cut(run / "config.json", 0.5), "config.json: damaged"),
    "config not an object": (lambda run: (run / "config.json").write_text("[1]"), "no format_version"),
    "config binary": (lambda run: (run / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json: damaged"),
    "newer format": (lambda run: edit_config(run, lambda c: c.update(format_version=99)), "99 is newer .* upgrade"),
    "format not a number": (lambda run: edit_config(run, lambda c: c.update(format_version="1")), "no format_version"),
    "no network": (lambda run: edit_config(run, lambda c: c.pop("network")), "no settings of a network"),
    "another cell": (lambda run: edit_config(run, lambda c: c["network"].update(cell="x")), "expected gru, lstm or"),
    "setting missing": (lambda run: edit_config(run, lambda c: c["network"].pop("dropout")), "dropout: is missing"),
    "setting unknown": (lambda run: edit_config(run, lambda c: c["network"].update(x=1)), "network.x: not known"),
    "setting impossible": (
        lambda run: edit_config(run, lambda c: c["network"].update(hidden_size=-4)),
        "hidden_size: expected an integer from 1 to 1,048,576, got -4",
    ),
    "setting huge": (
        lambda run: edit_config(run, lambda c: c["network"].update(hidden_size=10**12)),
        "hidden_size: expected an integer from 1 to 1,048,576, got 1000000000000",
    ),
    "setting large": (lambda run: edit_config(run, lambda c: c["network"].update(hidden_size=10**6)), "wants F32"),
    "tokenizer missing": (lambda run: (run / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "tokenizer cut short": (lambda run: cut(run / "tokenizer.json", 0.5), "tokenizer.json: not a tokenizer.json"),
    "tokenizer of another run": (
        lambda run: (run / "tokenizer.json").write_text(Tokenizer.train("byte", lambda: []).to_json()),
        "has 256 tokens, the network was built for 5",
    ),
    "weights missing": (lambda run: (run / "model.safetensors").unlink(), "model.safetensors is missing"),
    "weights cut short": (lambda run: cut(run / "model.safetensors", 0.9), "damaged or cut short"),
    "weights empty": (lambda run: cut(run / "model.safetensors", 0), "damaged or cut short"),
    "weights not safetensors": (
        lambda run: (run / "model.safetensors").write_bytes(b"\x80\x04K\x01." * 100), "damaged or cut short",
    ),
    "tensor missing": (lambda run: edit_weights(run, lambda w: w.pop(NAME)), f"{NAME} missing or unexpected"),
    "tensor unknown": (lambda run: edit_weights(run, lambda w: w.update(x=w[NAME])), "x missing or unexpected"),
    "tensor of the wrong shape": (
        lambda run: edit_weights(run, lambda w: w.update({NAME: w[NAME][:, :-1].copy()})),
        rf"{NAME} is F32 \(12, 3\), config.json wants F32 \(12, 4\)",
    ),
    "tensor of the wrong dtype": (
        lambda run: edit_weights(run, lambda w: w.update({NAME: w[NAME].astype(np.float64)})), f"{NAME} is F64",
    ),
    "tensor not finite": (
        lambda run: edit_weights(run, lambda w: w[NAME].fill(np.nan)), f"{NAME} has numbers that are not finite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_refused_in_one_line(run, damage):
    change, message = DAMAGES[damage]
    change(run)
    with pytest.raises(InputError, match=message) as caught:
        Run.read(run).load_network()
    assert str(run) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(InputError, match="none: no such run"):
        Run.read(tmp_path / "none")
    file = Path(tmp_path / "file")
    file.write_text("")
    with pytest.raises(InputError, match="file: is not a run directory"):
        Run.read(file)
