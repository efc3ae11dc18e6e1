"""One token at a time: against the batched forward pass, and the draw against its definition."""

import itertools

import numpy as np
import pytest

from textgru.core import GRU, Linear, set_num_threads, simd
from textgru.core._products.packing import pack
from textgru.core._stepping.token_step import TokenStep
from textgru.core.threads import has_openmp

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


def network(vocab, inputs, hidden, layers, *, bias=True, reset_after=True, dtype=np.float64):
    gru = GRU(inputs, hidden, layers, bias=bias, reset_after=reset_after, dtype=dtype, seed=1)
    output = Linear(hidden, vocab, bias=bias, dtype=dtype, seed=2)
    embedding = np.random.default_rng(3).standard_normal((vocab, inputs)).astype(dtype)
    return embedding, gru, output


def check(embedding, gru, output, tolerance):
    """Five tokens from a state that is not zero."""
    step = TokenStep(embedding, gru, output)
    tokens = np.random.default_rng(4).integers(0, len(embedding), 5)
    h_0 = np.random.default_rng(5).standard_normal(step.state.shape).astype(gru.dtype)
    y, h_n = gru.forward(embedding[tokens][:, None], h_0[:, None].copy(), training=False)
    step.state[...] = h_0
    for t, token in enumerate(tokens):
        step.step(token)
        np.testing.assert_allclose(step.logits, output.forward(y[t])[0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(step.state, h_n[:, 0], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("reset_after", [True, False], ids=["reset-after", "reset-before"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("hidden", [1, 3, 17, 64, 65])
@pytest.mark.parametrize("vocab", [1, 3, 65])
def test_equals_the_forward_pass(vocab, hidden, layers, reset_after, bias, dtype):
    check(*network(vocab, 7, hidden, layers, bias=bias, reset_after=reset_after, dtype=dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("reset_after", [True, False], ids=["reset-after", "reset-before"])
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_threads(threads, reset_after):
    """Large enough to be shared among threads."""
    set_num_threads(threads)
    check(*network(300, 5, 400, 2, reset_after=reset_after, dtype=np.float32), 1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_large_vocabulary(layers, dtype):
    """The first layer's input products are then made step by step."""
    check(*network(1025, 17, 33, layers, dtype=dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("name", simd.supported_instruction_sets())
def test_every_instruction_set(name):
    simd.set_instruction_set(name)
    check(*network(130, 5, 65, 2, dtype=np.float32), 1e-5)
    check(*network(130, 5, 65, 2), 1e-12)


@pytest.mark.parametrize("vocab", [5, 1025])
@pytest.mark.parametrize("hidden", [4, 64])
def test_the_weights_are_those_of_the_time_it_was_made(hidden, vocab):
    embedding, gru, output = network(vocab, 3, hidden, 1)
    step, later = TokenStep(embedding, gru, output), TokenStep(embedding, gru, output)
    step.step(1)
    for layer in (gru, output):
        for array in layer.parameters.values():
            array[...] = 0
    embedding[...] = 0
    later.step(1)
    np.testing.assert_array_equal(later.logits, step.logits)
    assert np.abs(step.logits).max() > 0


def test_tokens_out_of_range():
    step = TokenStep(*network(5, 3, 4, 1))
    for bad in (-1, 5):
        with pytest.raises(IndexError, match=f"token: expected 0 to 4, got {bad}"):
            step.step(bad)


def test_layers_that_do_not_fit():
    embedding, gru, output = network(5, 3, 4, 1)
    with pytest.raises(ValueError, match="embedding: "):
        TokenStep(embedding[:, :2].copy(), gru, output)
    with pytest.raises(ValueError, match="output: "):
        TokenStep(embedding[:4].copy(), gru, output)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("vocab", [1, 3, 17, 65, 1000])
@pytest.mark.parametrize("temperature", [0.1, 0.8, 3.0])
def test_draw_is_the_inverse_of_the_cumulative_distribution(temperature, vocab, dtype):
    step = TokenStep(*network(vocab, 2, 3, 1, dtype=dtype))
    logits = (2 * np.random.default_rng(vocab).standard_normal(vocab)).astype(dtype)
    logits[vocab // 2 + 1 :: 7] = -np.inf
    step.logits[...] = logits
    p = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    cumulative = np.cumsum(p / p.sum())
    for u in np.linspace(0, 1, 500, endpoint=False):
        token = step.draw(temperature, u)
        assert p[token] > 0
        below = cumulative[token - 1] if token else 0.0
        assert below - 1e-5 <= u <= cumulative[token] + 1e-5


def test_draw_at_the_ends():
    step = TokenStep(*network(4, 2, 3, 1, dtype=np.float32))
    step.logits[...] = [-np.inf, 0, 0, -np.inf]
    assert step.draw(1.0, 0.0) == 1
    assert step.draw(1.0, np.nextafter(1.0, 0)) == 2
    assert step.draw(1e-6, 0.7) in (1, 2)


@pytest.mark.parametrize("n", [1, 3, 17, 65])
def test_packing(n):
    matrix = np.random.default_rng(0).random((70, n), np.float32)
    packed = pack(matrix)
    assert packed.shape == (2, n, 64)
    np.testing.assert_array_equal(packed.transpose(0, 2, 1).reshape(128, n)[:70], matrix)
    np.testing.assert_array_equal(packed.transpose(0, 2, 1).reshape(128, n)[70:], 0)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("hidden", [17, 200])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("reset_after", [True, False], ids=["reset-after", "reset-before"])
def test_generate_is_step_and_draw(reset_after, layers, hidden, threads, precision):
    set_num_threads(threads)
    parts = network(130, 5, hidden, layers, reset_after=reset_after, dtype=np.float32)
    many, single = TokenStep(*parts, precision=precision), TokenStep(*parts, precision=precision)
    u = np.random.default_rng(1).random(40)
    token, wanted = 3, []
    for number in u:
        single.step(token)
        token = single.draw(0.9, number)
        wanted.append(token)
    assert many.generate(3, u, 0.9).tolist() == wanted
    np.testing.assert_array_equal(many.state, single.state)
    assert len(set(wanted)) > 10
    assert many.generate(3, u[:0], 0.9).tolist() == []


@pytest.mark.skipif(not has_openmp(), reason="this build has no OpenMP: one thread only")
def test_threads_that_wait_long_do_not_share(monkeypatch):
    set_num_threads(2)
    waits, seconds = [70e-9] * 3 + [1e-6] * 3, itertools.count(1, 0.1)
    monkeypatch.setattr("textgru.core._stepping.token_step.wait_seconds", lambda *_: waits.pop(0))
    monkeypatch.setattr("textgru.core._stepping.token_step.perf_counter", lambda: next(seconds))
    parts, u = network(130, 5, 200, 1, dtype=np.float32), np.random.default_rng(1).random(20)
    step, alone = TokenStep(*parts), TokenStep(*parts)
    used, tokens = [], []
    while waits:
        tokens.append(step.generate(3, u, 0.9).tolist())
        used.append(step.threads)
    assert used == [2] * 9 + [1] * 7
    set_num_threads(1)
    assert tokens == [alone.generate(3, u, 0.9).tolist() for _ in tokens]


def test_a_token_that_is_never_drawn():
    embedding, gru, output = network(70, 5, 9, 1, dtype=np.float32)
    output.parameters["bias"][66] = 50  # far above all others
    step = TokenStep(embedding, gru, output)
    u = np.random.default_rng(1).random(30)
    assert set(step.generate(0, u, 1.0).tolist()) == {66}
    assert 66 not in step.generate(0, u, 1.0, 66)
    for bad in (-2, 70):
        with pytest.raises(IndexError, match=f"never: expected -1 to 69, got {bad}"):
            step.generate(0, u, 1.0, bad)
    with pytest.raises(IndexError, match="token: expected 0 to 69, got 70"):
        step.generate(70, u, 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_losses_are_those_of_the_scores(threads, dtype):
    set_num_threads(threads)
    parts = network(65, 5, 190, 2, dtype=dtype)
    tokens = np.random.default_rng(1).integers(0, 65, 21)
    step = TokenStep(*parts)
    wanted = []
    for token, target in itertools.pairwise(tokens):
        step.step(token)
        scores = step.logits.astype(np.float64)
        wanted.append(np.log(np.exp(scores).sum()) - scores[target])
    got = TokenStep(*parts).losses(tokens[:-1], tokens[1:])
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    with pytest.raises(IndexError, match="targets: expected indices from 0 to 64, got 65"):
        step.losses(tokens[:2], np.array([3, 65]))
    with pytest.raises(ValueError, match="targets: "):
        step.losses(tokens[:2], tokens[:3])


@pytest.mark.parametrize("precision", ["fp32", "int8", "float64"])
def test_extreme_temperatures(precision):
    """The likeliest token alone, or all alike but the one that is never drawn."""
    dtype = np.float64 if precision == "float64" else np.float32
    step = TokenStep(*network(9, 5, 70, 2, dtype=dtype), precision="int8" if precision == "int8" else "fp32")
    u = (np.arange(800) + 0.5) / 800
    for temperature in (1e-300, 5e-324, 1e-46, 1e-30):
        step.step(3)
        assert {step.draw(temperature, number) for number in (0.0, 0.5, 0.999)} == {int(np.argmax(step.logits))}
    for temperature in (1e30, 1e38, 1e39, 1e46, 1e300):
        step.step(3)
        drawn = [step.draw(temperature, number) for number in u]
        assert np.abs(np.bincount(drawn, minlength=9) - 800 / 9).max() <= 1
        counts = np.bincount(step.generate(3, u, temperature, 4), minlength=9)
        assert counts[4] == 0
        assert np.abs(np.delete(counts, 4) - 100).max() <= 1


def test_what_can_not_be_drawn():
    step = TokenStep(*network(5, 3, 4, 1, dtype=np.float32))
    for temperature in (0, -1.0, np.nan, np.inf, "1", None, 1j):
        for call in (lambda t=temperature: step.draw(t, 0.5), lambda t=temperature: step.generate(0, np.zeros(2), t)):
            with pytest.raises((TypeError, ValueError), match="temperature: expected a number"):
                call()
    for u in (1.0, -1e-9, np.nan, np.inf):
        with pytest.raises(ValueError, match="u: expected"):
            step.draw(1.0, u)
        with pytest.raises(ValueError, match="u: expected numbers from 0 to below 1"):
            step.generate(0, np.array([0.5, u]), 1.0)
    embedding, gru, output = network(5, 3, 4, 1, dtype=np.float32)
    output.parameters["bias"][2] = np.nan
    damaged = TokenStep(embedding, gru, output)
    damaged.step(0)
    for call in (lambda: damaged.draw(1.0, 0.5), lambda: damaged.generate(0, np.full(3, 0.5), 1.0)):
        with pytest.raises(ValueError, match="logits: expected finite scores"):
            call()
