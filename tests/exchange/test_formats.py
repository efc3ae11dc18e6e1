"""A model in ONNX Runtime, PyTorch and C: the same numbers, and the same text."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import textgru
from tests.texts import sentences
from textgru.cli import main

TEXT = sentences(12_000) + 'Zoë said: "naïve café", 日本語 🙂🏽!\n' * 20
MODELS = {
    "char": {"hidden_size": 48},
    "byte": {"tokenizer": "byte", "hidden_size": 40, "cell": "lstm", "num_layers": 2},
    "bpe": {"tokenizer": "bpe", "vocab_size": 400, "hidden_size": 33, "tie_weights": True, "embedding_size": 33},
    "rnn": {"tokenizer": "bpe", "vocab_size": 300, "hidden_size": 32, "cell": "rnn", "num_layers": 3},
    "documents": {"separate_documents": True, "hidden_size": 24},
}
LENGTH = 500


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    for name, settings in MODELS.items():
        settings = {"max_steps": 150, "batch_size": 16, "seq_length": 32, "seed": 1, "cache": False, **settings}
        textgru.train(folder / "text.txt", folder / name, **settings)
    return {name: folder / name for name in MODELS}


def export(run, kind, *more, code=0):
    result = CliRunner().invoke(main, ["export", str(run), "--to", kind, *map(str, more)])
    assert result.exit_code == code, result.output
    return result


def greedy(run, prompt):
    return textgru.load(run).generate(prompt, length=LENGTH, temperature=0)


def state_of(session, batch):
    return {one.name: np.zeros((one.shape[0], batch, one.shape[2]), np.float32) for one in session.get_inputs()[1:]}


def onnx_session(run, folder, *more):
    import onnxruntime

    export(run, "onnx", "-o", folder / "model.onnx", *more)
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", MODELS)
def test_onnx_gives_the_same_scores_over_500_steps(runs, tmp_path, name):
    model, session = textgru.load(runs[name]), onnx_session(runs[name], tmp_path)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, model.tokenizer.vocab_size, (LENGTH, 3))
    logits, *state = session.run(None, {"tokens": tokens, **state_of(session, 3)})
    own = model.packed()
    from textgru.core import Session

    stepped = Session(own, 3)
    for t in range(LENGTH):
        stepped.step(tokens[t].astype(np.intp))
        np.testing.assert_allclose(logits[t], stepped.logits, atol=1e-5, rtol=0)
    for theirs, ours in zip(state, stepped.state, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_onnx_in_int8_is_the_model_with_rounded_weights(runs, tmp_path, name):
    from textgru.core import Session

    textgru.load(runs[name]).save(tmp_path / "int8", precision="int8")
    session = onnx_session(tmp_path / "int8", tmp_path)
    model = textgru.load(tmp_path / "int8", precision="fp32")
    tokens = np.random.default_rng(0).integers(0, model.tokenizer.vocab_size, (LENGTH, 1))
    logits = session.run(None, {"tokens": tokens, **state_of(session, 1)})[0]
    stepped = Session(model.packed())
    for t in range(LENGTH):
        stepped.step(int(tokens[t, 0]))
        np.testing.assert_allclose(logits[t], stepped.logits, atol=1e-5, rtol=0)
    full = tmp_path / "full.onnx"
    export(runs[name], "onnx", "-o", full, "--precision", "fp32")
    matrices = sum(array.nbytes for key, array in model.network.named_parameters().items() if "weight" in key)
    assert full.stat().st_size - (tmp_path / "model.onnx").stat().st_size > 0.6 * matrices


@pytest.mark.parametrize("name", MODELS)
def test_onnx_writes_the_same_text(runs, tmp_path, name):
    session = onnx_session(runs[name], tmp_path)
    tokenizer = textgru.Tokenizer.from_json(session.get_modelmeta().custom_metadata_map["tokenizer"])
    ids = tokenizer.encode("The ferry").tolist()
    state, read, drawn = state_of(session, 1), np.array(ids)[:, None], []
    for _ in range(LENGTH):
        logits, *after = session.run(None, {"tokens": read, **state})
        state = dict(zip(state, after, strict=True))
        scores = logits[-1, 0]
        if tokenizer.unk_id is not None:
            scores[tokenizer.unk_id] = -np.inf
        drawn.append(int(scores.argmax()))
        if drawn[-1] == tokenizer.eos_id:
            break
        read = np.array([[drawn[-1]]])
    assert "The ferry" + tokenizer.decode([i for i in drawn if i != tokenizer.eos_id]) == greedy(
        runs[name], "The ferry"
    )


@pytest.mark.parametrize("name", ["char", "byte", "bpe", "rnn"])
def test_pytorch_writes_the_same_text(runs, tmp_path, name):
    pytest.importorskip("torch")
    export(runs[name], "torch", "-o", tmp_path / "out")
    program = (
        "import model as m; from safetensors.torch import load_file; from tokenizers import Tokenizer; import sys\n"
    )
    program += "t = Tokenizer.from_file('tokenizer.json'); made = m.Model(load_file('model.safetensors')).eval()\n"
    program += f"print(m.generate(made, t.encode('The ferry').ids, {LENGTH}, 0.0))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "out", capture_output=True, text=True, check=True, timeout=60
    )
    ids = [int(word) for word in result.stdout.strip("[]\n").split(",")]
    assert textgru.load(runs[name]).tokenizer.decode(ids) == greedy(runs[name], "The ferry")
    assert len((tmp_path / "out" / "model.py").read_text().splitlines()) < 60


def test_what_a_killed_export_left_is_cleaned_up(runs, tmp_path):
    (tmp_path / ".c.new").mkdir()
    for name in ("sample.c", ".sample.c.partial"):
        (tmp_path / ".c.new" / name).write_bytes(b"x")
    export(next(iter(runs.values())), "c", "-o", tmp_path / "c")
    assert os.listdir(tmp_path) == ["c"]
    assert len((tmp_path / "c" / "sample.c").read_bytes()) > 100
    assert not list((tmp_path / "c").glob(".*"))


def compiled(folder, compiler="cc", *more):
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run([compiler, *flags, *more, "-o", "sample", "sample.c", "-lm"], cwd=folder, check=True, timeout=60)
    assert len((folder / "sample.c").read_text().splitlines()) <= 32


def run_c(folder, *arguments, with_=()):
    done = subprocess.run([*with_, "./sample", *map(str, arguments)], cwd=folder, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "replace").removesuffix("\n")


@pytest.mark.parametrize("name", MODELS)
def test_c_writes_the_same_text(runs, tmp_path, name):
    export(runs[name], "c", "-o", tmp_path / "out")
    compiled(tmp_path / "out")
    assert run_c(tmp_path / "out", "The ferry", LENGTH, 0) == greedy(runs[name], "The ferry")
    assert run_c(tmp_path / "out", "", LENGTH, 0) == greedy(runs[name], "")
    drawn = [run_c(tmp_path / "out", "The", 100, 1.0, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_c_reads_no_damaged_file(runs, tmp_path):
    export(runs["bpe"], "c", "-o", tmp_path / "out")
    compiled(tmp_path / "out", "cc", "-fsanitize=address,undefined", "-fno-sanitize-recover")
    file = tmp_path / "out" / "model.bin"
    whole = bytearray(file.read_bytes())
    rng = np.random.default_rng(0)
    for case in range(60):
        damaged = bytearray(whole)
        if case % 3 == 0:
            damaged = damaged[: rng.integers(0, len(whole))]
        else:
            for _ in range(3):
                damaged[rng.integers(0, 3000)] = rng.integers(0, 256)
        file.write_bytes(damaged)
        done = subprocess.run(["./sample", "The", "5"], cwd=tmp_path / "out", capture_output=True, timeout=60)
        assert not re.search(b"Sanitizer|runtime error", done.stderr), done.stderr[:2000]
        assert done.returncode in (0, 1)


def test_c_on_arm(runs, tmp_path):
    if not (shutil.which("aarch64-linux-gnu-gcc") and shutil.which("qemu-aarch64")):
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    export(runs["char"], "c", "-o", tmp_path / "out")
    compiled(tmp_path / "out", "aarch64-linux-gnu-gcc", "-static")
    assert (
        run_c(tmp_path / "out", "The ferry", 200, 0, with_=("qemu-aarch64",))
        == greedy(runs["char"], "The ferry")[: 9 + 200]
    )


def test_what_does_not_fit_is_said(runs, tmp_path):
    said = export(runs["char"], "c", "--title", "x", code=2).stderr
    assert "--title: only for --to html" in said
    export(runs["char"], "c", "-o", tmp_path / "out")
    assert "holds files" in export(runs["char"], "c", "-o", tmp_path / "out", code=2).stderr
    export(runs["char"], "c", "-o", tmp_path / "out", "--overwrite")
    (tmp_path / "file").write_text("mine")
    assert "is a file" in export(runs["char"], "torch", "-o", tmp_path / "file", "--overwrite", code=2).stderr
    assert (tmp_path / "file").read_text() == "mine"
    assert "no such run" in export(tmp_path / "none", "onnx", code=2).stderr
