"""Tokens drawn one after another."""

import numpy as np
import pytest

import textgru.generation.draws
from textgru.generation.draws import Draws, Memory, Row, draw_tokens, read_prompt
from textgru.generation.sampling import Sampling
from textgru.model.config import NetworkConfig
from textgru.model.network import Network


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_what_is_drawn_does_not_depend_on_how_much_at_a_time(precision, monkeypatch):
    packed = Network(NetworkConfig(17, 8, 70, 2), seed=1).pack(precision)
    drawn = []
    for seconds in (0.0, 1e9):  # always a few; more and more
        monkeypatch.setattr(textgru.generation.draws, "LONGEST_AT_A_TIME", seconds)
        drawn.append(list(draw_tokens(packed, np.zeros(1, np.intp), 200, Sampling(), np.random.default_rng(0))))
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 200
    assert len(set(drawn[0])) > 5


def test_a_text_that_ends_early_leaves_the_generator_where_its_tokens_end(monkeypatch):
    """The next text of the same generator is the same, however many tokens were drawn at a time."""
    packed = Network(NetworkConfig(17, 8, 70), seed=1).pack()
    following = []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr(textgru.generation.draws, "LONGEST_AT_A_TIME", seconds)
        rng = np.random.default_rng(0)
        for taken in (1, 21, 0, 40):
            tokens = draw_tokens(packed, np.zeros(1, np.intp), 200, Sampling(), rng)
            for _ in range(taken):
                next(tokens)
            tokens.close()
        following.append(rng.random())
    one_each = np.random.default_rng(0)
    one_each.random(1 + 21 + 40)
    assert following == [one_each.random()] * 2


def rows_of(packed, count):
    """Rows with prompts of their own."""
    prompts = [np.arange(i % 5 + 1, dtype=np.intp) for i in range(count)]
    return [Row(read_prompt(packed, p), int(p[-1]), np.random.default_rng(i), Memory(p)) for i, p in enumerate(prompts)]


SAMPLINGS = {
    "plain": Sampling(),
    "controls": Sampling(1.2, top_k=9, top_p=0.9),
    "greedy": Sampling(0),
    "penalties": Sampling(1.2, repetition_penalty=1.3, frequency_penalty=0.4, penalty_last_n=7),
    "dry": Sampling(1.2, dry_multiplier=2.0, min_tokens=9),
    "mirostat": Sampling(mirostat_tau=2.0),
}


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_a_row_draws_the_same_alone_and_among_others_that_come_and_go(sampling):
    packed = Network(NetworkConfig(17, 8, 33, 2), seed=1).pack()

    def together(count):
        rows, draws = rows_of(packed, count), Draws(packed, sampling)
        texts = [[] for _ in rows]
        for leaves in range(4):
            draws.draw(rows[leaves:], 10)
            for text, row in zip(texts[leaves:], rows[leaves:], strict=True):
                text += row.drawn
        return texts

    alone = []
    for row in rows_of(packed, 7):
        drawn, draws = [], Draws(packed, sampling)
        for _ in range(4):
            draws.draw([row], 10)
            drawn += row.drawn
        alone.append(drawn)
    for got, wanted in zip(together(7), alone, strict=True):
        assert got == wanted[: len(got)]
    assert [len(text) for text in together(7)] == [10, 20, 30, 40, 40, 40, 40]


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_tokens_that_are_taken_back_are_drawn_again(sampling):
    packed = Network(NetworkConfig(17, 8, 33, 2), seed=1).pack()
    (wanted,), (row,) = rows_of(packed, 1), rows_of(packed, 1)
    draws = Draws(packed, sampling)
    draws.draw([wanted], 12)
    first = wanted.drawn
    draws.draw([wanted], 12)
    for used in (12, 5, 0):
        row = rows_of(packed, 1)[0]
        draws = Draws(packed, sampling)
        draws.draw([row], 12)
        draws.take_back(row, used)
        assert row.drawn == first[:used]
        assert row.token == (first[used - 1] if used else 0)
        draws.draw([row], 12)
        assert row.drawn == (first + wanted.drawn)[used : used + 12]


def test_log_probabilities_are_those_of_the_network():
    """Without any sampling control, and with the token that is never drawn in the sum."""
    network = Network(NetworkConfig(17, 8, 33, 2), seed=1)
    packed = network.pack()
    rows = rows_of(packed, 3)
    draws = Draws(packed, Sampling(0.5, top_k=4), never=3)
    draws.draw(rows, 8)
    draws.draw(rows, 8, log_probabilities=True)
    got = np.array([row.log_probabilities for row in rows]).T
    again = rows_of(packed, 3)
    first = Draws(packed, Sampling(0.5, top_k=4), never=3)
    first.draw(again, 8)
    for i, row in enumerate(rows):
        prompt = np.arange(i % 5 + 1)
        tokens = [*prompt, *again[i].drawn, *row.drawn]
        losses, _ = network.losses(
            np.array(tokens[:-1])[:, None].copy(), np.array(tokens[1:])[:, None].copy(), network.initial_state(1)
        )
        np.testing.assert_allclose(got[:, i], -losses[-8:, 0], atol=1e-5)


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_alternatives_are_the_likeliest_of_the_network_itself(sampling):
    """At each place where a token was drawn last, whatever the controls; and the rows go on as if nobody had asked."""
    network = Network(NetworkConfig(17, 8, 33, 2), seed=1)
    rows, wanted = rows_of(network.pack(), 3), rows_of(network.pack(), 3)
    draws, others = Draws(network.pack(), sampling), Draws(network.pack(), sampling)
    for _ in range(2):
        before = [row.token for row in rows]
        states = [row.state for row in rows]
        assert draws.draw(rows, 6, log_probabilities=True) == others.draw(wanted, 6) == 6
        ids, logs = draws.alternatives(rows, 5)
        assert ids.shape == logs.shape == (6, 3, 5)
        for b, row in enumerate(rows):
            session = network.session()
            session.state = tuple(map(np.ascontiguousarray, states[b]))
            for t, token in enumerate([before[b], *row.drawn[:-1]]):
                session.step(token)
                scores = session.logits[0].astype(float)
                all_logs = scores - np.log(np.exp(scores).sum())
                order = np.argsort(-all_logs, kind="stable")[:5]
                np.testing.assert_allclose(logs[t, b], all_logs[order], atol=1e-5)
                np.testing.assert_allclose(all_logs[ids[t, b]], all_logs[order], atol=1e-5)
                assert row.log_probabilities[t] == pytest.approx(all_logs[row.drawn[t]], abs=1e-5)
    assert [row.drawn for row in rows] == [row.drawn for row in wanted]
