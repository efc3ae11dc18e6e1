"""Sampling controls: the distribution that each leaves, against plain NumPy; what a session draws with them."""

import itertools

import numpy as np
import pytest

from tests.reference_sampling import penalised, probabilities, softmax
from textgru.core import GRU, LSTM, Linear, PackedNetwork, Sampler, Session, set_num_threads, simd

CONTROLS = {
    "temperature": {"temperature": 0.7},
    "cold": {"temperature": 1e-5},
    "greedy": {"temperature": 0.0},
    "hot": {"temperature": 1e50},
    "dynamic": {"temperature": 1.0, "dynatemp_range": 0.6, "dynatemp_exponent": 1.5},
    "top-k": {"top_k": 7},
    "top-1": {"top_k": 1},
    "top-p": {"top_p": 0.83},
    "least top-p": {"top_p": 1e-9},
    "min-p": {"min_p": 0.11},
    "typical-p": {"typical_p": 0.62},
    "top-n-sigma": {"top_n_sigma": 1.3},
    "repetition": {"repetition_penalty": 1.4, "penalty_last_n": 9},
    "presence": {"presence_penalty": 0.8},
    "frequency": {"frequency_penalty": -0.4, "penalty_last_n": 30},
    "all penalties": {"repetition_penalty": 1.2, "presence_penalty": 0.3, "frequency_penalty": 0.2},
    "dry": {"dry_multiplier": 0.8, "dry_allowed_length": 2},
    "dry with breakers": {"dry_multiplier": 0.8, "dry_allowed_length": 1, "dry_breakers": [1]},
    "short dry": {"dry_multiplier": 2.0, "dry_penalty_last_n": 12, "dry_base": 1.1},
    "bias": {"logit_bias": {0: 2.5, 2: -100.0}},
    "banned": {"banned": [0, 2]},
    "min tokens": {"eos": 1, "min_tokens": 2},
    "all": {
        "temperature": 0.9, "dynatemp_range": 0.3, "top_k": 30, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.97,
        "top_n_sigma": 2.5, "repetition_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.1,
        "dry_multiplier": 0.5, "logit_bias": {2: 0.5}, "banned": [1], "eos": 0, "min_tokens": 3,
    },
}  # fmt: skip


def scores(vocab, seed, dtype):
    return (3 * np.random.default_rng(seed).standard_normal((1, vocab))).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("vocab", [3, 17, 65, 1025, 8192])
@pytest.mark.parametrize("name", CONTROLS)
def test_the_distribution(name, vocab, dtype):
    history = np.random.default_rng(4).integers(0, min(vocab, 5), 40)
    for seed in range(3):
        logits = scores(vocab, seed, dtype)
        sampler = Sampler(vocab, **CONTROLS[name])
        sampler.read(history)
        got = sampler.probabilities(logits)[0]
        wanted = probabilities(logits[0], history, **CONTROLS[name])
        assert got.sum() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(got, wanted, atol=2e-6)


@pytest.mark.parametrize("name", simd.supported_instruction_sets())
def test_every_instruction_set(name):
    simd.set_instruction_set(name)
    for controls in CONTROLS.values():
        logits = scores(300, 1, np.float32)
        sampler = Sampler(300, **controls)
        sampler.read(np.arange(40) % 4)
        wanted = probabilities(logits[0], np.arange(40) % 4, **controls)
        np.testing.assert_allclose(sampler.probabilities(logits)[0], wanted, atol=2e-6)


@pytest.mark.parametrize("vocab", [40, 5000])
@pytest.mark.parametrize("controls", [{"top_k": 5}, {"top_p": 0.4999}, {"typical_p": 0.4999}], ids=str)
def test_of_equal_scores_the_first_stay(controls, vocab):
    logits = np.zeros((1, vocab))
    got = Sampler(vocab, **controls).probabilities(logits)[0]
    np.testing.assert_allclose(got, probabilities(logits[0], **controls), atol=1e-9)
    assert (np.flatnonzero(got) == np.arange(np.count_nonzero(got))).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0, 1e30])
@pytest.mark.parametrize("controls", [{"top_k": 40}, {"top_p": 0.9}, {"typical_p": 0.9}, {"min_p": 0.5}], ids=str)
def test_scores_near_one_another_and_far_apart(controls, scale):
    logits = scale * np.random.default_rng(2).standard_normal((1, 2000))
    got = Sampler(2000, **controls).probabilities(logits)[0]
    np.testing.assert_allclose(got, probabilities(logits[0], **controls), atol=1e-6)


def test_all_but_one_banned():
    sampler = Sampler(50, banned=[i for i in range(50) if i != 7], top_p=0.5, typical_p=0.5, min_p=0.5, top_n_sigma=1.0)
    np.testing.assert_array_equal(sampler.probabilities(scores(50, 1, np.float32))[0], np.eye(50)[7])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_left_is_refused(temperature):
    with pytest.raises(ValueError, match="leave nothing to draw from"):
        Sampler(5, banned=range(5), temperature=temperature).probabilities(scores(5, 1, np.float32))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            Sampler(5, temperature=temperature).probabilities(np.array([[1, 2, bad, 0, 0]]))


def network(vocab, hidden, kind=GRU, layers=1):
    recurrent, output = kind(5, hidden, layers, seed=1), Linear(hidden, vocab, seed=2)
    for array in (*recurrent.parameters.values(), *output.parameters.values()):
        array *= 4  # scores that differ
    embedding = np.random.default_rng(3).standard_normal((vocab, 5)).astype(np.float32)
    return embedding, recurrent, output


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rows", [1, 3, 17])
@pytest.mark.parametrize("name", ["all", "greedy", "all penalties", "dry", "top-p"])
def test_generate_draws_from_it(name, rows, threads, precision):
    """Each token is the first whose cumulative probability is above its number."""
    set_num_threads(threads)
    packed = PackedNetwork(*network(130, 200, LSTM, 2), precision=precision)
    session, step = Session(packed, rows), Session(packed, rows)
    controls = CONTROLS[name]
    sampler, watcher = Sampler(130, rows, **controls), Sampler(130, rows, **controls)
    prompt = np.random.default_rng(5).integers(0, 4, (6, rows))
    for each in (session, step):
        each.read(prompt[:-1].copy())
    for each in (sampler, watcher):
        each.read(prompt)
    u = np.random.default_rng(6).random((20, rows))
    drawn = session.generate(prompt[-1].copy(), u, sampler=sampler)
    assert drawn.shape == (20, rows)
    history, token = [list(row) for row in prompt.T], prompt[-1].copy()
    for t in range(20):
        step.step(token)
        logits = np.ascontiguousarray(step.logits)
        for row in range(rows):
            p = probabilities(logits[row], history[row], t, **controls)
            cumulative = np.cumsum(p)
            got = drawn[t, row]
            assert p[got] > 0
            assert cumulative[got] - p[got] - 1e-5 <= u[t, row] <= cumulative[got] + 1e-5
            history[row].append(got)
        token = drawn[t].copy()


@pytest.mark.parametrize("name", CONTROLS)
def test_a_row_is_drawn_the_same_whatever_is_beside_it(name):
    packed = PackedNetwork(*network(70, 64))
    u, results = np.random.default_rng(1).random((30, 5)), []
    for rows, threads in itertools.product(([0], [3, 0], [0, 1, 2, 3, 4]), (1, 2)):
        set_num_threads(threads)
        session, sampler = Session(packed, len(rows)), Sampler(70, len(rows), **CONTROLS[name])
        drawn = session.generate(np.arange(5)[rows], np.ascontiguousarray(u[:, rows]), sampler=sampler)
        results.append(drawn[:, rows.index(0)].tolist())
    assert all(result == results[0] for result in results)


def test_chunks_make_no_difference():
    packed = PackedNetwork(*network(70, 64))
    u = np.random.default_rng(1).random((300, 2))
    whole = Session(packed, 2).generate(np.zeros(2, np.intp), u, sampler=Sampler(70, 2, **CONTROLS["all"]))
    session, sampler = Session(packed, 2), Sampler(70, 2, **CONTROLS["all"])
    token, parts = np.zeros(2, np.intp), []
    for first, last in ((0, 1), (1, 7), (7, 150), (150, 300)):
        parts.append(session.generate(token, u[first:last].copy(), sampler=sampler))
        token = parts[-1][-1].copy()
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_rows_that_are_reordered_take_what_they_remember_along():
    controls = {"frequency_penalty": 1.0, "dry_multiplier": 1.0, "eos": 0, "min_tokens": 3}
    sampler, histories = Sampler(9, 3, **controls), [[1, 1, 2], [3, 4, 3], [5, 5, 5]]
    sampler.read(np.array(histories).T.copy())
    sampler.reorder(np.array([2, 0, 0]))
    logits = np.zeros((3, 9))
    for got, row in zip(sampler.probabilities(logits), (2, 0, 0), strict=True):
        np.testing.assert_allclose(got, probabilities(logits[0], histories[row], **controls), atol=1e-9)


def test_penalties_look_back_only_so_far():
    history = np.random.default_rng(1).integers(0, 6, 500)
    sampler = Sampler(6, frequency_penalty=0.3, penalty_last_n=17)
    for token in history:
        sampler.read(np.array([token]))
    wanted = softmax(penalised(np.zeros(6), list(history), frequency_penalty=0.3, penalty_last_n=17))
    np.testing.assert_allclose(sampler.probabilities(np.zeros((1, 6)))[0], wanted, atol=1e-9)


@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_mirostat_follows_the_surprise(tau):
    """Each token is drawn from those of no more surprise than mu, which moves so that the mean comes to tau."""
    packed = PackedNetwork(*network(200, 64))
    session, watcher, u = Session(packed), Session(packed), np.random.default_rng(1).random(2000)
    drawn = session.generate(0, u, sampler=Sampler(200, mirostat_tau=tau, mirostat_eta=0.1))
    token, mu, surprises = 0, 2 * tau, []
    for number, following in zip(u, drawn, strict=True):
        watcher.step(token)
        p = softmax(watcher.logits[0].astype(float))
        p[(p < 2.0**-mu) & (p < p.max())] = 0
        p /= p.sum()
        cumulative = np.cumsum(p)
        assert cumulative[following] - p[following] - 1e-5 <= number <= cumulative[following] + 1e-5
        surprises.append(-np.log2(p[following]))
        mu -= 0.1 * (surprises[-1] - tau)
        token = int(following)
    assert np.mean(surprises) == pytest.approx(tau, abs=0.1)


def test_mirostat_is_its_definition():
    logits = scores(100, 3, np.float64)
    got = Sampler(100, mirostat_tau=2.0, temperature=0.8).probabilities(logits)[0]
    p = softmax(logits[0] / 0.8)
    p[p < 2.0**-4] = 0  # mu is two times tau at first
    np.testing.assert_allclose(got, p / p.sum(), atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"temperature": -1}, ValueError, "temperature: expected a number from 0 up, got -1"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({"top_k": -1}, ValueError, "top_k: expected at least 0"),
        ({"top_p": 0}, ValueError, "top_p: expected a number above 0"),
        ({"top_p": 1.5}, ValueError, "top_p: expected a number above 0, up to 1, got 1.5"),
        ({"min_p": 1}, ValueError, "min_p: expected a number from 0 to below 1"),
        ({"repetition_penalty": 0}, ValueError, "repetition_penalty: expected a number above 0"),
        ({"dry_base": 0.5}, ValueError, "dry_base: expected a number from 1 up"),
        ({"banned": [5]}, IndexError, "banned: expected 0 to 4, got 5"),
        ({"banned": "ab"}, TypeError, "banned: expected tokens, got str"),
        ({"logit_bias": {9: 1.0}}, IndexError, "logit_bias: expected 0 to 4, got 9"),
        ({"logit_bias": {1: "x"}}, TypeError, "logit_bias: expected a number"),
        ({"logit_bias": [1]}, TypeError, "logit_bias: expected a mapping"),
        ({"eos": 7}, IndexError, "eos: expected 0 to 4, got 7"),
        ({"rows": 0}, ValueError, "rows: expected at least 1"),
    ],
    ids=str,
)
def test_bad_controls_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Sampler(5, **arguments)


def test_a_sampler_of_other_sizes_is_refused():
    session = Session(PackedNetwork(*network(30, 16)), 2)
    u = np.zeros((1, 2))
    for sampler in (Sampler(31, 2), Sampler(30, 1)):
        with pytest.raises(ValueError, match="sampler: expected one of 2 rows and 30 tokens"):
            session.generate(np.zeros(2, np.intp), u, sampler=sampler)
    with pytest.raises(TypeError, match="sampler: expected a Sampler, got dict"):
        session.generate(np.zeros(2, np.intp), u, sampler={})
