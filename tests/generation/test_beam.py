"""Beam search, held against all texts that there are."""

from itertools import product

import numpy as np
import pytest

from textgru.errors import InputError
from textgru.generation.beam import BeamSettings, StopStrings, beam_search
from textgru.generation.draws import read_prompt
from textgru.generation.starts import Start
from textgru.model.config import NetworkConfig
from textgru.model.network import Network

VOCABULARY, LENGTH, EOS, NEVER = 5, 4, 2, 4
PROMPT = np.array([1, 0], np.intp)


def network():
    made = Network(NetworkConfig(VOCABULARY, 4, 7, 2), seed=3)
    for name, array in made.named_parameters().items():
        array *= 4 if "weight" in name else 1
    return made


def every_text(made, length, eos):
    """Tokens and log-probability of each text that ends with `eos` or after `length` tokens."""
    for size in range(1, length + 1):
        for tokens in product(range(VOCABULARY), repeat=size):
            if eos in tokens[:-1] or NEVER in tokens or (size < length and tokens[-1] != eos):
                continue
            whole = np.array([*PROMPT, *tokens])[:, None]
            losses, _ = made.losses(whole[:-1].copy(), whole[1:].copy(), made.initial_state(1))
            yield tokens, -losses[len(PROMPT) - 1 :].sum()


def search(made, **settings):
    packed = made.pack()
    start = Start(read_prompt(packed, PROMPT), int(PROMPT[-1]), ())
    return beam_search(packed, start, BeamSettings(**{"length": LENGTH, **settings}), eos=EOS, never=NEVER)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 3.0])
def test_a_beam_that_holds_everything_finds_the_best(alpha):
    made = network()
    found = search(made, width=256, n_best=6, length_penalty=alpha)
    texts = [
        (total / ((5 + len(tokens)) / 6) ** alpha, tokens, total) for tokens, total in every_text(made, LENGTH, EOS)
    ]
    wanted = sorted(texts, key=lambda one: -one[0])[:6]
    assert [one.tokens for one in found] == [tokens for _, tokens, _ in wanted]
    np.testing.assert_allclose([one.score for one in found], [score for score, _, _ in wanted], atol=1e-5)
    np.testing.assert_allclose([one.log_probability for one in found], [total for _, _, total in wanted], atol=1e-5)
    for one in found:
        assert one.finish_reason == ("eos" if one.tokens[-1] == EOS else "length")


def test_the_penalty_decides_between_short_and_long():
    made = network()
    short, long = (len(search(made, width=64, length_penalty=alpha)[0].tokens) for alpha in (0.0, 50.0))
    assert short < long


def test_a_beam_of_one_takes_the_likeliest_token():
    made, tokens = network(), []
    session = made.session()
    session.read(PROMPT)
    while len(tokens) < 30 and EOS not in tokens:
        session.logits[0, NEVER] = -np.inf
        tokens.append(int(np.argmax(session.logits[0])))
        session.step(tokens[-1])
    (found,) = search(made, width=1, length=30)
    assert list(found.tokens) == tokens


def test_a_wider_beam_is_no_worse_here_and_all_of_it_is_returned():
    made = network()
    scores = [search(made, width=width, length=8)[0].score for width in (1, 4, 64)]
    assert scores == sorted(scores)
    found = search(made, width=8, n_best=8, length=8)
    assert len({one.tokens for one in found}) == 8
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert search(made, width=3, length=0)[0].tokens == ()


@pytest.mark.parametrize("width", [3, 256])
def test_texts_that_end_with_a_stop_string(width):
    """Token i stands for the letter i of "abcde": a text ends with the first "bb" or "d", across tokens too."""
    made, letters = network(), "abcde"
    packed, start = made.pack(), Start(read_prompt(made.pack(), PROMPT), int(PROMPT[-1]), ())
    stop = StopStrings(["bb", "d"], [letter.encode() for letter in letters])
    found = beam_search(packed, start, BeamSettings(width, n_best=3, length=LENGTH), eos=EOS, never=NEVER, stop=stop)
    for one in found:
        written = "".join(letters[token] for token in one.tokens)
        assert (one.finish_reason == "stop") == written.endswith(("bb", "d"))
        assert not any(end in written[:-1] for end in ("bb", "d"))
    texts = {}
    for tokens, _ in every_text(made, LENGTH, EOS):
        written = "".join(letters[token] for token in tokens)
        ends = [i + len(end) for end in ("bb", "d") if (i := written.find(end)) >= 0]
        cut = tokens[: min(ends, default=len(tokens))]
        whole = np.array([*PROMPT, *cut])[:, None]
        losses, _ = made.losses(whole[:-1].copy(), whole[1:].copy(), made.initial_state(1))
        texts[cut] = -losses[len(PROMPT) - 1 :].sum() / ((5 + len(cut)) / 6) ** 0.6
    if width == 256:  # it holds all texts that there are
        assert [one.tokens for one in found] == sorted(texts, key=lambda tokens: -texts[tokens])[:3]
    assert "stop" in {one.finish_reason for one in found}


def test_what_cannot_be_is_named():
    with pytest.raises(InputError, match="n_best: expected at most the width of the beam, 2, got 3"):
        BeamSettings(width=2, n_best=3)
    with pytest.raises(InputError, match="width: expected an integer from 1"):
        BeamSettings(width=0)
