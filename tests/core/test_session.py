"""Sessions against the forward pass of the layers, and their methods against one another."""

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.core.cells import arrays_of, every_cell
from tests.core.networks import network, random_state, random_tokens
from textgru.core import GRU, Linear, PackedNetwork, Session, set_num_threads, simd
from textgru.core._support import aligned
from textgru.core.threads import has_openmp

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


def check(parts, tolerance, rows=1, steps=5):
    """Some steps from a state that is not zero: by step, by read and by losses."""
    embedding, recurrent, output = parts
    packed = PackedNetwork(*parts)
    tokens, h_0 = random_tokens(packed, steps, rows), random_state(packed, rows)
    y, last = recurrent.forward(embedding[tokens], h_0 if len(h_0) > 1 else h_0[0], training=False)
    scores = output.forward(y, training=False)
    session = Session(packed, rows)
    session.state = h_0
    for t in range(steps):
        session.step(tokens[t])
        np.testing.assert_allclose(session.logits, scores[t], rtol=tolerance, atol=tolerance)
    for got, wanted in zip(session.state, arrays_of(last), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
    state, logits = session.state, session.logits.copy()
    for method in ("read", "losses"):
        session.state = h_0
        getattr(session, method)(*[tokens] * (1 if method == "read" else 2))
        np.testing.assert_array_equal(session.logits, logits)
        np.testing.assert_array_equal(session.state, state)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@every_cell
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("hidden", [1, 17, 64, 65])
@pytest.mark.parametrize("vocab", [1, 65, 1025])
def test_equals_the_forward_pass(vocab, hidden, layers, kind, bias, dtype):
    """With 1025 tokens the first layer's input products are made step by step."""
    parts = network(kind, vocab, 7, hidden, layers, bias=bias, dtype=dtype)
    for rows in (1, 3):
        check(parts, TOLERANCE[dtype], rows)


@every_cell
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("vocab", [300, 1030])
def test_threads(vocab, threads, kind):
    """Large enough to be shared among threads; few rows share the units, many are shared themselves."""
    set_num_threads(threads)
    for rows in (1, 5, 20):
        check(network(kind, vocab, 5, 400, 2), 2e-5, rows)


@pytest.mark.parametrize("name", simd.supported_instruction_sets())
def test_every_instruction_set(name):
    simd.set_instruction_set(name)
    for rows in (1, 7):
        check(network("gru", 130, 5, 65, 2), 1e-5, rows)
        check(network("lstm", 130, 5, 65, 2, dtype=np.float64), 1e-12, rows)


@every_cell
def test_a_long_prompt_is_read_in_pieces(kind):
    for threads in (1, 2):
        set_num_threads(threads)
        for layers in (1, 2):
            check(network(kind, 30, 5, 200, layers), 1e-4, rows=1, steps=700)
            check(network(kind, 30, 5, 200, layers), 1e-4, rows=13, steps=50)


@pytest.mark.parametrize("vocab", [5, 1025])
@pytest.mark.parametrize("hidden", [4, 64])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_weights_are_those_of_the_time_they_were_packed(precision, hidden, vocab):
    parts = network("gru", vocab, 3, hidden, 1)
    packed = PackedNetwork(*parts, precision=precision)
    session, later = Session(packed), Session(packed)
    session.step(1)
    for layer in parts[1:]:
        for array in layer.parameters.values():
            array[...] = 0
    parts[0][...] = 0
    later.step(1)
    np.testing.assert_array_equal(later.logits, session.logits)
    assert np.abs(session.logits).max() > 0


def test_layers_that_do_not_fit():
    embedding, gru, output = network("gru", 5, 3, 4, 1)
    with pytest.raises(ValueError, match="embedding: "):
        PackedNetwork(embedding[:, :2].copy(), gru, output)
    with pytest.raises(ValueError, match="output: "):
        PackedNetwork(embedding[:4].copy(), gru, output)
    with pytest.raises(TypeError, match="recurrent: expected a GRU, LSTM or RNN of textgru.core, got Linear"):
        PackedNetwork(embedding, output, output)
    with pytest.raises(TypeError, match="output: expected a textgru.core.Linear, got GRU"):
        PackedNetwork(embedding, gru, gru)
    with pytest.raises(ValueError, match="reset_after=False can't be stepped"):
        PackedNetwork(embedding, GRU(3, 4, reset_after=False), output)
    with pytest.raises(ValueError, match="precision: expected one of fp32, bf16, int8, got 'int4'"):
        PackedNetwork(embedding, gru, output, precision="int4")
    for precision in ("bf16", "int8"):
        parts = network("gru", 5, 3, 4, 1, dtype=np.float64)
        with pytest.raises(TypeError, match=f"precision: {precision} needs float32 parameters, these are float64"):
            PackedNetwork(*parts, precision=precision)


def test_what_a_packed_network_says():
    packed = PackedNetwork(*network("lstm", 5, 3, 4, 2), precision="bf16")
    facts = (packed.precision, packed.cell, packed.states, packed.dtype)
    assert facts == ("bf16", "lstm", ("h", "c"), np.float32)
    assert (packed.vocab_size, packed.hidden_size, packed.num_layers) == (5, 4, 2)
    with pytest.raises(AttributeError):
        packed.precision = "fp32"


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_weights_take_half_or_a_quarter(kind):
    parts = network(kind, 65, 64, 256, 2)
    whole = PackedNetwork(*parts).nbytes
    assert PackedNetwork(*parts, precision="bf16").nbytes * 2 == whole
    assert PackedNetwork(*parts, precision="int8").nbytes * 4 == whole


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("hidden", [17, 200])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("rows", [1, 5, 30])
@every_cell
def test_generate_is_step_and_draw(kind, rows, layers, hidden, threads, precision):
    set_num_threads(threads)
    packed = PackedNetwork(*network(kind, 130, 5, hidden, layers), precision=precision)
    many, single = Session(packed, rows), Session(packed, rows)
    u = np.random.default_rng(1).random((20, rows))
    first = random_tokens(packed, rows)
    tokens, wanted = first, []
    for numbers in u:
        single.step(tokens)
        tokens = single.draw(0.9, numbers)
        wanted.append(tokens)
    np.testing.assert_array_equal(many.generate(first, u, 0.9), wanted)
    np.testing.assert_array_equal(many.state, single.state)
    assert len(np.unique(wanted)) > 5
    assert many.generate(first, u[:0], 0.9).shape == (0, rows)


def test_one_row_without_arrays():
    packed = PackedNetwork(*network("gru", 30, 5, 9, 1))
    one, arrays = Session(packed), Session(packed)
    u, tokens = np.random.default_rng(1).random(7), random_tokens(packed, 8)
    assert one.generate(3, u, 0.9).tolist() == arrays.generate(np.array([3]), u[:, None], 0.9)[:, 0].tolist()
    one.step(4)
    arrays.step(np.array([4]))
    assert one.draw(0.9, 0.5) == arrays.draw(0.9, np.array([0.5]))[0]
    one.read(tokens)
    arrays.read(tokens[:, None])
    losses = one.losses(tokens[:-1], tokens[1:])
    np.testing.assert_array_equal(losses, arrays.losses(tokens[:-1, None], tokens[1:, None])[:, 0])
    np.testing.assert_array_equal(one.logits, arrays.logits)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [1, 4, 20])
@pytest.mark.parametrize("vocab", [65, 70_000])
def test_losses_are_those_of_the_scores(vocab, rows, threads, dtype):
    """Of 70,000 tokens the scores are made for a few rows at a time."""
    set_num_threads(threads)
    packed = PackedNetwork(*network("gru", vocab, 5, 190 if vocab == 65 else 9, 2, dtype=dtype))
    tokens = random_tokens(packed, 9, rows)
    session = Session(packed, rows)
    wanted = []
    for now, targets in itertools.pairwise(tokens):
        session.step(now)
        scores = session.logits.astype(np.float64)
        wanted.append(np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(rows), targets])
    got = Session(packed, rows).losses(tokens[:-1], tokens[1:])
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


@every_cell
def test_states_are_copies_and_can_be_handed_on(kind):
    packed = PackedNetwork(*network(kind, 30, 5, 70, 2))
    first, second = Session(packed, 3), Session(packed, 3)
    first.read(random_tokens(packed, 5, 3))
    state = first.state
    assert [array.shape for array in state] == [(2, 3, 70)] * len(packed.states)
    kept = [array.copy() for array in state]
    first.step(np.zeros(3, np.intp))
    np.testing.assert_array_equal(state, kept)
    second.state = state
    second.step(np.zeros(3, np.intp))
    np.testing.assert_array_equal(second.logits, first.logits)
    with pytest.raises(TypeError, match=f"state: expected a tuple of {len(state)} arrays, got ndarray"):
        second.state = state[0]
    with pytest.raises(ValueError, match="state: expected a float32 array of shape"):
        second.state = tuple(array[:, :2].copy() for array in state)


@every_cell
def test_reorder(kind):
    packed = PackedNetwork(*network(kind, 30, 5, 20, 2))
    session = Session(packed, 4)
    session.step(np.array([1, 2, 3, 4]))
    state, logits = session.state, session.logits.copy()
    session.reorder(np.array([3, 3, 0, 1]))
    for now, before in zip(session.state, state, strict=True):
        np.testing.assert_array_equal(now, before[:, [3, 3, 0, 1]])
    np.testing.assert_array_equal(session.logits, logits[[3, 3, 0, 1]])
    with pytest.raises(IndexError, match="rows: expected indices from 0 to 3, got 4"):
        session.reorder(np.array([0, 1, 2, 4]))
    with pytest.raises(ValueError, match="rows: expected 4 elements, got 3"):
        session.reorder(np.arange(3))


def test_what_does_not_fit_is_named():
    packed = PackedNetwork(*network("gru", 5, 3, 4, 1))
    session = Session(packed, 2)
    tokens = np.zeros(2, np.intp)
    for bad in (-1, 5):
        with pytest.raises(IndexError, match=f"tokens: expected 0 to 4, got {bad}"):
            Session(packed).step(bad)
        with pytest.raises(IndexError, match=f"tokens: expected indices from 0 to 4, got {bad}"):
            session.step(tokens + bad)
    with pytest.raises(TypeError, match="tokens: expected a int64 array"):
        session.step(0)
    with pytest.raises(ValueError, match="tokens: expected 2 elements, got 3"):
        session.step(np.zeros(3, np.intp))
    for method in (session.read, lambda read: session.losses(read, read)):
        with pytest.raises(ValueError, match="tokens: expected a int64 array of shape"):
            method(np.zeros((4, 3), np.intp))
    with pytest.raises(ValueError, match="targets: expected 4 steps, got 3"):
        session.losses(np.zeros((4, 2), np.intp), np.zeros((3, 2), np.intp))
    with pytest.raises(IndexError, match="targets: expected indices from 0 to 4, got 5"):
        session.losses(np.zeros((4, 2), np.intp), np.full((4, 2), 5))
    with pytest.raises(ValueError, match="u: expected a float64 array of shape"):
        session.generate(tokens, np.zeros((4, 3)), 1.0)
    with pytest.raises(TypeError, match="packed: expected a PackedNetwork, got GRU"):
        Session(GRU(3, 4))
    for rows in (0, -1):
        with pytest.raises(ValueError, match="rows: expected at least 1"):
            Session(packed, rows)
    with pytest.raises(MemoryError, match="rows: this needs"):
        Session(packed, 2**31 - 1)
    session.read(np.zeros((0, 2), np.intp))
    assert not session.state[0].any()


@pytest.mark.parametrize("failing", range(1, 5))
def test_memory_that_is_not_there_leaves_a_session_as_it_was(failing, monkeypatch):
    packed = PackedNetwork(*network("lstm", 65, 8, 70, 2))
    tokens = random_tokens(packed, 40, 3)
    session, other = Session(packed, 3), Session(packed, 3)
    zeros, calls = aligned.zeros, itertools.count(1)

    def short_of_memory(shape, dtype):
        if next(calls) == failing:
            raise MemoryError
        return zeros(shape, dtype)

    with monkeypatch.context() as patch:
        patch.setattr(aligned, "zeros", short_of_memory)
        with pytest.raises(MemoryError):
            session.losses(tokens, tokens)
    session.step(tokens[0])
    session.read(tokens[1:])
    other.read(tokens)
    np.testing.assert_array_equal(session.logits, other.logits)


def test_sessions_of_one_network_in_several_threads():
    packed = PackedNetwork(*network("gru", 65, 8, 256, 2))
    u = np.random.default_rng(1).random((60, 8))
    wanted = {rows: Session(packed, rows).generate(np.zeros(rows, np.intp), u[:, :rows].copy(), 0.8) for rows in (1, 8)}
    failures = []

    def run(rows):
        for _ in range(5):
            got = Session(packed, rows).generate(np.zeros(rows, np.intp), u[:, :rows].copy(), 0.8)
            if not (got == wanted[rows]).all():
                failures.append(rows)

    threads = [threading.Thread(target=run, args=(rows,)) for rows in (1, 8, 1, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_second_thread_in_one_session_is_refused():
    session = Session(PackedNetwork(*network("gru", 65, 8, 256, 2)), 4)
    tokens = np.zeros((20_000, 4), np.intp)
    thread = threading.Thread(target=session.read, args=(tokens,))
    thread.start()
    time.sleep(0.05)
    calls = [
        lambda: session.step(tokens[0]), lambda: session.state, lambda: session.load_state(saved),
        lambda: session.reorder(tokens[0]), lambda: session.draw(1.0, np.zeros(4)),
        lambda: session.losses(tokens, tokens), lambda: session.generate(tokens[0], np.zeros((9, 4)), 1.0),
    ]  # fmt: skip
    saved = Session(session.packed, 4).save_state()
    for call in calls:
        with pytest.raises(RuntimeError, match="this Session is computing in another thread"):
            call()
    assert thread.is_alive()
    thread.join()
    session.step(tokens[0])  # it goes on


@pytest.mark.skipif(not has_openmp(), reason="this build has no OpenMP: one thread only")
def test_threads_that_wait_long_do_not_share(monkeypatch):
    set_num_threads(2)
    waits, seconds = [70e-9] * 3 + [1e-6] * 3, itertools.count(1, 0.1)
    monkeypatch.setattr("textgru.core._stepping.sharing.wait_seconds", lambda *_: waits.pop(0))
    monkeypatch.setattr("textgru.core._stepping.sharing.perf_counter", lambda: next(seconds))
    packed, u = PackedNetwork(*network("gru", 130, 5, 200, 1)), np.random.default_rng(1).random(20)
    session, alone = Session(packed), Session(packed)
    used, tokens = [], []
    while waits:
        tokens.append(session.generate(3, u, 0.9).tolist())
        used.append(session.threads)
    assert used == [2] * 9 + [1] * 7
    set_num_threads(1)
    assert tokens == [alone.generate(3, u, 0.9).tolist() for _ in tokens]


def test_a_network_without_biases_in_its_output_alone():
    embedding, gru, _ = network("gru", 9, 3, 5, 1)
    output = Linear(5, 9, bias=False, seed=2)
    session = Session(PackedNetwork(embedding, gru, output))
    session.step(2)
    y, _ = gru.forward(embedding[2][None, None].copy(), training=False)
    np.testing.assert_allclose(session.logits, output.forward(y[0], training=False), rtol=1e-5, atol=1e-6)


def test_the_example_of_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "core.md").read_text(encoding="utf-8")
    code = text.partition("## Sessions")[2].partition("```python\n")[2].partition("```")[0]
    names = {}
    exec(code, names)
    assert names["drawn"].shape == (100, 3)
    assert names["losses"].shape == (99, 3)
