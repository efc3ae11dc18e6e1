"""Models from PyTorch: what they say here is what they say there; what can't be read is named."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

import textgru
from textgru.cli import main
from textgru.core import Session

CHARACTERS = [*"\n abcdefghijklmnopqrstuvwxyz."]
V, E, H = len(CHARACTERS), 7, 12
GATES = {"gru": 3, "lstm": 4, "rnn": 1}


def state_dict(cell="gru", layers=2, prefix="rnn.", seed=0, vocabulary=V):
    rng = np.random.default_rng(seed)
    shapes = {"embedding.weight": (vocabulary, E), "fc.weight": (vocabulary, H), "fc.bias": (vocabulary,)}
    for layer in range(layers):
        rows = GATES[cell] * H
        shapes |= {f"{prefix}weight_ih_l{layer}": (rows, H if layer else E), f"{prefix}weight_hh_l{layer}": (rows, H)}
        shapes |= {f"{prefix}bias_ih_l{layer}": (rows,), f"{prefix}bias_hh_l{layer}": (rows,)}
    return {name: rng.standard_normal(shape).astype(np.float32) * 0.4 for name, shape in shapes.items()}


@pytest.fixture
def put(tmp_path):
    """Writes a state dict and a vocabulary, calls `textgru import`, and gives the result and the run."""

    def call(arrays, vocabulary=CHARACTERS, *more, code=0):
        if isinstance(arrays, dict):
            save_file(arrays, tmp_path / "model.safetensors")
            arrays = tmp_path / "model.safetensors"
        if not isinstance(vocabulary, (str, bytes)):
            vocabulary = json.dumps(vocabulary)
        (tmp_path / "vocab.json").write_bytes(vocabulary if isinstance(vocabulary, bytes) else vocabulary.encode())
        arguments = ["import", arrays, "--tokenizer", tmp_path / "vocab.json", "--out", tmp_path / "run", *more]
        result = CliRunner().invoke(main, list(map(str, arguments)))
        assert result.exit_code == code, result.output
        if code:
            assert len(result.stderr.splitlines()) == 1
            assert not (tmp_path / "run").exists()
            return result.stderr
        return textgru.load(tmp_path / "run")

    return call


def scores(model, ids):
    session, found = Session(model.packed()), []
    for i in ids:
        session.step(int(i))
        found.append(np.array(session.logits[0]))
    return np.array(found)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_it_says_what_pytorch_says(put, cell):
    torch = pytest.importorskip("torch")
    arrays = state_dict(cell)
    model = put(arrays)
    ids = [1, 5, 9, 20, 0, 3] * 5
    kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM, "rnn": torch.nn.RNN}[cell](E, H, 2)
    kind.load_state_dict({name[4:]: torch.tensor(array) for name, array in arrays.items() if name.startswith("rnn.")})
    x = torch.tensor(arrays["embedding.weight"])[ids]
    expected = kind(x)[0] @ torch.tensor(arrays["fc.weight"]).T + torch.tensor(arrays["fc.bias"])
    np.testing.assert_allclose(scores(model, ids)[:, :V], expected.detach().numpy(), atol=1e-5)
    assert model.tokenizer.encode("a z").tolist() == [2, 1, 27]
    assert len(model.generate("a ", length=50, seed=1)) == 52


def test_a_pt_file(put, tmp_path):
    torch = pytest.importorskip("torch")
    arrays = state_dict()
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    torch.save({"model_state_dict": tensors, "epoch": 3}, tmp_path / "model.pt")
    ids = [1, 2, 3]
    from_pt = scores(put(tmp_path / "model.pt"), ids)
    (tmp_path / "run").rename(tmp_path / "other")
    assert np.array_equal(from_pt, scores(put(arrays), ids))


def test_nothing_in_a_pt_file_is_executed(put, tmp_path):
    torch = pytest.importorskip("torch")

    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"a": Bad()}, tmp_path / "bad.pt")
    assert "without executing it" in put(tmp_path / "bad.pt", code=2)
    assert not (tmp_path / "executed").exists()


def test_other_names_and_precisions(put, tmp_path):
    arrays = state_dict(prefix="net.encoder.")
    expected = scores(put(arrays), [1, 2, 3])
    (tmp_path / "run").rename(tmp_path / "first")
    odd = {
        name.replace("embedding", "wte").replace("fc", "lm_head"): array.astype(np.float64)
        for name, array in arrays.items()
    }
    odd["steps"] = np.array([5])
    assert np.array_equal(expected, scores(put(odd), [1, 2, 3]))


def test_an_imported_run_is_a_run(put, tmp_path):
    put(state_dict())
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog.\n" * 60)
    run = str(tmp_path / "run")
    for command in (
        ["eval", run, str(tmp_path / "text.txt")],
        ["score", run, "a fox"],
        ["info", run],
        ["quantize", run],
    ):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
    more = {"batch_size": 4, "seq_length": 16, "cache": False}
    trained = textgru.train(tmp_path / "text.txt", tmp_path / "more", init_from=run, max_steps=60, **more)
    text = "the lazy dog jumps."
    assert trained.score(text).loss < textgru.load(run).score(text).loss


def test_one_hot_inputs_as_char_rnns(put):
    arrays = {name: array for name, array in state_dict(layers=1).items() if name != "embedding.weight"}
    arrays["rnn.weight_ih_l0"] = np.random.default_rng(1).standard_normal((3 * H, V)).astype(np.float32)
    model = put(arrays, {c: i + 1 for i, c in enumerate(CHARACTERS)})  # counted from 1
    gi = arrays["rnn.weight_ih_l0"][:, 4] + arrays["rnn.bias_ih_l0"]
    gh = arrays["rnn.bias_hh_l0"]
    r, z = (1 / (1 + np.exp(-(gi[k * H : (k + 1) * H] + gh[k * H : (k + 1) * H]))) for k in (0, 1))
    h = (1 - z) * np.tanh(gi[2 * H :] + r * gh[2 * H :])
    np.testing.assert_allclose(scores(model, [4])[0, :V], arrays["fc.weight"] @ h + arrays["fc.bias"], atol=1e-5)


@pytest.mark.parametrize(
    "vocabulary",
    [
        CHARACTERS,
        {c: i for i, c in enumerate(CHARACTERS)},
        {str(i): c for i, c in enumerate(CHARACTERS)},
        {"stoi": {c: i for i, c in enumerate(CHARACTERS)}, "itos": {str(i): c for i, c in enumerate(CHARACTERS)}},
        {"chars": CHARACTERS},
        {"char_to_ix": {c: i for i, c in enumerate(CHARACTERS)}},
    ],
)
def test_vocabularies(put, vocabulary):
    model = put(state_dict(), vocabulary)
    assert model.tokenizer.encode("fox.").tolist() == [CHARACTERS.index(c) for c in "fox."]
    assert model.tokenizer.unk_id == V
    p = np.exp(scores(model, [3])[0].astype(np.float64))
    assert p[V] / p.sum() < 1e-30, "an unknown token that it never had"


def test_a_vocabulary_with_an_unknown_token(put):
    model = put(state_dict(), ["<unk>", *CHARACTERS[1:]])
    assert model.tokenizer.unk_id == 0
    assert model.tokenizer.vocab_size == V


def without(name):
    return {key: array for key, array in state_dict().items() if key != name}


def changed(**arrays):
    return {**state_dict(), **{name.replace("__", "."): array for name, array in arrays.items()}}


NAN = np.full((V, E), np.nan, np.float32)


@pytest.mark.parametrize(
    ("arrays", "vocabulary", "more", "said"),
    [
        ({"x": np.zeros(3, np.float32)}, CHARACTERS, [], "no recurrent layers"),
        (without("rnn.weight_ih_l1"), CHARACTERS, [], "rnn.weight_ih_l1 is missing"),
        (changed(rnn__weight_hh_l0=np.zeros((5 * H, H), np.float32)), CHARACTERS, [], "no GRU, LSTM or RNN"),
        (changed(rnn__bias_ih_l0=np.zeros(3, np.float32)), CHARACTERS, [], "bias_ih_l0: expected shape (36,)"),
        (changed(rnn__weight_ih_l0_reverse=np.zeros((3 * H, E), np.float32)), CHARACTERS, [], "bidirectional"),
        (changed(rnn__weight_hr_l0=np.zeros((3, H), np.float32)), CHARACTERS, [], "proj_size"),
        (changed(two__weight_ih_l0=np.zeros((3 * H, E), np.float32)), CHARACTERS, [], "choose one with --prefix"),
        (changed(emb2__weight=np.zeros((V, E), np.float32)), CHARACTERS, [], "choose with --embedding"),
        (changed(head__weight=np.zeros((V, H), np.float32)), CHARACTERS, [], "choose with --output"),
        (changed(embedding__weight=NAN), CHARACTERS, [], "not finite"),
        (without("fc.weight"), CHARACTERS, [], "no output layer"),
        (changed(fc__weight=np.zeros((V + 2, H), np.float32)), CHARACTERS, [], "the output layer"),
        (state_dict(), CHARACTERS[:-3], [], "has 26 tokens"),
        (state_dict(), ["a", "bc"], [], "expected a character"),
        (state_dict(), ["a", "a"], [], "two ids"),
        (state_dict(), {"a": 0, "b": 5}, [], "ids: expected 0 to 1"),
        (state_dict(), {"a": 0, "b": 0}, [], "two characters have one id"),
        (state_dict(), b"\xff", [], "no JSON"),
        (state_dict(), "[" * 100_000, [], "nested too deeply"),
        (state_dict(), 5, [], "no vocabulary"),
        (state_dict(), CHARACTERS, ["--embedding", "no"], "there is no 'no'"),
        (state_dict(), CHARACTERS, ["--output", "embedding"], "expected 12 columns"),
        (state_dict(), CHARACTERS, ["--prefix", "no"], "no no.weight_ih_l0"),
    ],
)
def test_what_is_wrong_is_named(put, arrays, vocabulary, more, said):
    assert said in put(arrays, vocabulary, *more, code=2)


def test_files_that_are_none(put, tmp_path):
    assert "can't be read" in put(tmp_path / "none.safetensors", code=2)
    assert "folder" in put(tmp_path, code=2) or True
    for content in (b"", b"\x00" * 100, b"\xff" * 100, b'{"a": 1}'):
        (tmp_path / "bad.safetensors").write_bytes(content)
        assert "no safetensors file" in put(tmp_path / "bad.safetensors", code=2)


def test_a_file_that_begins_like_a_pickle_is_no_pickle(put, tmp_path):
    arrays = state_dict()
    for length in range(1, 300):
        save_file({**arrays, "x" * length: np.zeros(1, np.float32)}, tmp_path / "odd.safetensors")
        if (tmp_path / "odd.safetensors").read_bytes()[:1] == b"\x80":
            break
    else:
        raise AssertionError("no header of such a length")
    assert put(tmp_path / "odd.safetensors").network.config.num_layers == 2


def test_several_may_be_chosen(put):
    arrays = changed(other__weight_ih_l0=np.zeros((3 * H, E), np.float32))
    arrays |= {"other.weight_hh_l0": np.zeros((3 * H, H), np.float32), "emb2.weight": np.ones((V, E), np.float32)}
    model = put(arrays, CHARACTERS, "--prefix", "rnn", "--embedding", "embedding")
    assert np.array_equal(model.network.named_parameters()["embedding.weight"][:V], arrays["embedding.weight"])


def test_weights_in_bfloat16(put, tmp_path):
    """Which NumPy lacks: the file is put together here, its arrays out of order, as others write them."""
    arrays = state_dict()
    halves = {name: (array.view(np.uint32) >> 16).astype("<u2") for name, array in arrays.items()}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name in reversed([*halves]):
        begin, data = len(data), data + halves[name].tobytes()
        header[name] = {"dtype": "BF16", "shape": halves[name].shape, "data_offsets": [begin, len(data)]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    (tmp_path / "half.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + data)
    kept = {name: (half.astype(np.uint32) << 16).view(np.float32) for name, half in halves.items()}
    ids = [1, 5, 9, 20, 0, 3]
    found = scores(put(tmp_path / "half.safetensors"), ids)
    np.testing.assert_array_equal(found, scores(put(kept, CHARACTERS, "--overwrite"), ids))
