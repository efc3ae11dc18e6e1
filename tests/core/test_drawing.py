"""Tokens drawn from a session's scores: against the definition, and at the ends."""

import numpy as np
import pytest

from tests.core.networks import network
from textgru.core import PackedNetwork, Session


def session_of(vocab, inputs, hidden, layers, *, precision="fp32", dtype=np.float32, rows=1):
    return Session(
        PackedNetwork(*network("gru", vocab, inputs, hidden, layers, dtype=dtype), precision=precision), rows
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("vocab", [1, 3, 17, 65, 1000])
@pytest.mark.parametrize("temperature", [0.1, 0.8, 3.0])
def test_draw_is_the_inverse_of_the_cumulative_distribution(temperature, vocab, dtype):
    session = session_of(vocab, 2, 3, 1, dtype=dtype)
    logits = (2 * np.random.default_rng(vocab).standard_normal(vocab)).astype(dtype)
    logits[vocab // 2 + 1 :: 7] = -np.inf
    session.logits[0] = logits
    p = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    cumulative = np.cumsum(p / p.sum())
    for u in np.linspace(0, 1, 500, endpoint=False):
        token = session.draw(temperature, u)
        assert p[token] > 0
        below = cumulative[token - 1] if token else 0.0
        assert below - 1e-5 <= u <= cumulative[token] + 1e-5


def test_draw_at_the_ends():
    session = session_of(4, 2, 3, 1)
    session.logits[0] = [-np.inf, 0, 0, -np.inf]
    assert session.draw(1.0, 0.0) == 1
    assert session.draw(1.0, np.nextafter(1.0, 0)) == 2
    assert session.draw(1e-6, 0.7) in (1, 2)


def test_a_token_that_is_never_drawn():
    embedding, gru, output = network("gru", 70, 5, 9, 1)
    output.parameters["bias"][66] = 50  # far above all others
    packed = PackedNetwork(embedding, gru, output)
    session = Session(packed)
    u = np.random.default_rng(1).random(30)
    assert set(session.generate(0, u, 1.0).tolist()) == {66}
    assert 66 not in session.generate(0, u, 1.0, 66)
    for bad in (-2, 70):
        with pytest.raises(IndexError, match=f"never: expected -1 to 69, got {bad}"):
            session.generate(0, u, 1.0, bad)
    with pytest.raises(IndexError, match="tokens: expected 0 to 69, got 70"):
        session.generate(70, u, 1.0)
    many, zeros = Session(packed, 3), np.zeros(3, np.intp)
    assert (many.generate(zeros, u[:, None].repeat(3, 1), 1.0) == 66).all()
    assert 66 not in many.generate(zeros, u[:, None].repeat(3, 1), 1.0, 66)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "float64"])
def test_extreme_temperatures(precision):
    """The likeliest token alone, or all alike but the one that is never drawn."""
    dtype = np.float64 if precision == "float64" else np.float32
    session = session_of(9, 5, 70, 2, dtype=dtype, precision="fp32" if precision == "float64" else precision)
    u = (np.arange(800) + 0.5) / 800
    for temperature in (1e-300, 5e-324, 1e-46, 1e-30):
        session.step(3)
        assert {session.draw(temperature, number) for number in (0.0, 0.5, 0.999)} == {
            int(np.argmax(session.logits[0]))
        }
    for temperature in (1e30, 1e38, 1e39, 1e46, 1e300):
        session.step(3)
        drawn = [session.draw(temperature, number) for number in u]
        assert np.abs(np.bincount(drawn, minlength=9) - 800 / 9).max() <= 1
        counts = np.bincount(session.generate(3, u, temperature, 4), minlength=9)
        assert counts[4] == 0
        assert np.abs(np.delete(counts, 4) - 100).max() <= 1


def test_what_can_not_be_drawn():
    session = session_of(5, 3, 4, 1)
    for temperature in (0, -1.0, np.nan, np.inf, "1", None, 1j):
        for call in (
            lambda t=temperature: session.draw(t, 0.5),
            lambda t=temperature: session.generate(0, np.zeros(2), t),
        ):
            with pytest.raises((TypeError, ValueError), match="temperature: expected a number"):
                call()
    for u in (1.0, -1e-9, np.nan, np.inf):
        with pytest.raises(ValueError, match="u: expected"):
            session.draw(1.0, u)
        with pytest.raises(ValueError, match="u: expected numbers from 0 to below 1"):
            session.generate(0, np.array([0.5, u]), 1.0)
    embedding, gru, output = network("gru", 5, 3, 4, 1)
    output.parameters["bias"][2] = np.nan
    packed = PackedNetwork(embedding, gru, output)
    damaged, two = Session(packed), Session(packed, 2)
    damaged.step(0)
    tokens, u = np.zeros(2, np.intp), np.full((3, 2), 0.5)
    calls = (
        lambda: damaged.draw(1.0, 0.5), lambda: damaged.generate(0, np.full(3, 0.5), 1.0),
        lambda: two.generate(tokens, u, 1.0), lambda: two.draw(1.0, u[0].copy()),
    )  # fmt: skip
    two.step(tokens)
    for call in calls:
        with pytest.raises(ValueError, match="logits: expected finite scores"):
            call()
