"""From scores to tokens."""

import numpy as np
import pytest

from textgru.errors import InputError, TextgruError
from textgru.generation.sampling import Sampling

LOGITS = np.log(np.array([0.1, 0.4, 0.05, 0.25, 0.2], np.float32))


def test_temperature_sharpens_and_flattens():
    np.testing.assert_allclose(Sampling(1.0).probabilities(LOGITS), [0.1, 0.4, 0.05, 0.25, 0.2], rtol=1e-5)
    sharp = np.array([0.1, 0.4, 0.05, 0.25, 0.2]) ** 2
    np.testing.assert_allclose(Sampling(0.5).probabilities(LOGITS), sharp / sharp.sum(), rtol=1e-5)
    assert Sampling(1e-300).probabilities(LOGITS).tolist() == [0, 1, 0, 0, 0]
    np.testing.assert_allclose(Sampling(1e300).probabilities(LOGITS), 0.2)


def test_top_k_keeps_the_likeliest():
    np.testing.assert_allclose(
        Sampling(1.0, top_k=2).probabilities(LOGITS), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0], rtol=1e-5
    )
    assert (Sampling(1.0, top_k=99).probabilities(LOGITS) > 0).all()
    assert np.count_nonzero(Sampling(1.0, top_k=3).probabilities(np.zeros(10))) == 3, "ties don't let more through"


@pytest.mark.parametrize(("p", "kept"), [(1e-9, 1), (0.39, 1), (0.41, 2), (0.64, 2), (0.66, 3), (0.999, 5), (1.0, 5)])
def test_top_p_keeps_the_nucleus(p, kept):
    probabilities = Sampling(1.0, top_p=p).probabilities(LOGITS)
    assert set(np.flatnonzero(probabilities)) == set([1, 3, 4, 0, 2][:kept])
    assert probabilities.sum() == pytest.approx(1)


def test_greedy_takes_the_likeliest_and_no_random_number():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert Sampling(0).draw(LOGITS, rng) == 1
    assert rng.bit_generator.state == before
    assert Sampling(0).probabilities(LOGITS).tolist() == [0, 1, 0, 0, 0]


def test_draws_follow_the_probabilities():
    rng, sampling = np.random.default_rng(0), Sampling(1.0, top_k=4)
    draws = np.bincount([sampling.draw(LOGITS, rng) for _ in range(20_000)], minlength=5)
    np.testing.assert_allclose(draws / 20_000, sampling.probabilities(LOGITS), atol=0.012)
    assert draws[2] == 0


def test_a_token_with_the_score_minus_infinity_is_never_drawn():
    logits = np.array([-np.inf, 0, -np.inf], np.float32)
    rng = np.random.default_rng(0)
    assert {Sampling(t).draw(logits, rng) for t in (0, 0.8, 5.0) for _ in range(50)} == {1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"mirostat_tau": 1e308}, "mirostat_tau"),
        ({"mirostat_tau": 3.0, "mirostat_eta": 1e308}, "mirostat_eta"),
    ],
    ids=str,
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Sampling(**settings)


@pytest.mark.parametrize("top_k", [None, 5])
def test_extreme_temperatures(top_k):
    logits = np.array([0.0, 3.0, -2.0, -np.inf, 1.0, 2.0], np.float32)
    for temperature in (1e30, 1e46, 1e300, 1.7e308):
        np.testing.assert_allclose(
            Sampling(temperature, top_k).probabilities(logits), [0.2, 0.2, 0.2, 0, 0.2, 0.2], atol=1e-12
        )
    for temperature in (0, 5e-324, 1e-300, 1e-30, 1e-6):
        np.testing.assert_array_equal(Sampling(temperature, top_k).probabilities(logits), [0, 1, 0, 0, 0, 0])


@pytest.mark.parametrize(
    "settings", [(np.inf,), ("1",), (10**400,), (True,), (1j,), (1.0, 2.5), (1.0, True), (1.0, None, "x")]
)
def test_settings_of_the_wrong_kind(settings):
    with pytest.raises(InputError, match="expected"):
        Sampling(*settings)


def test_scores_that_are_not_finite():
    for bad in (np.nan, np.inf):
        for sampling in (Sampling(0), Sampling(1.0), Sampling(1.0, top_k=2)):
            with pytest.raises(TextgruError, match="no finite scores"):
                sampling.draw(np.array([0.0, bad, 1.0]), np.random.default_rng(0))


def test_a_number_just_below_one_draws_a_token_that_can_be():
    class Highest:
        def random(self):
            return np.nextafter(1.0, 0)

    for seed in range(20):
        logits = np.random.default_rng(seed).standard_normal(7)
        logits[5:] = -np.inf
        assert Sampling(1.0, top_k=6).draw(logits, Highest()) == 4
