"""What a sampler remembers of its rows can be handed to another, row by row."""

import numpy as np
import pytest

from textgru.core import Sampler

CONTROLS = {"repetition_penalty": 1.5, "penalty_last_n": 5, "dry_multiplier": 1.0, "dry_penalty_last_n": 20}


def logits(rows):
    return np.random.default_rng(1).normal(size=(rows, 9)).astype(np.float32)


def test_another_sampler_goes_on_with_it():
    tokens = np.random.default_rng(0).integers(0, 3, (60, 3))
    first = Sampler(9, 3, **CONTROLS)
    first.read(tokens)
    wanted = first.probabilities(logits(3))
    second = Sampler(9, 2, **CONTROLS)
    second.read(tokens[:, :2] + 3)  # forgotten
    memories = first.memory()
    second.recall([memories[2], memories[0]])
    scores = logits(3)[[2, 0]]
    np.testing.assert_array_equal(second.probabilities(scores), wanted[[2, 0]])
    for sampler in (first, second):
        sampler.read(np.zeros((1, sampler.rows), np.intp))
    np.testing.assert_array_equal(second.probabilities(scores), first.probabilities(logits(3))[[2, 0]])


def test_what_is_no_memory_is_refused():
    sampler = Sampler(9, 1, **CONTROLS)
    good = (np.zeros(3, np.intp), 0, 1.0)
    for bad in (None, [], [good, good], good):
        with pytest.raises(ValueError, match="memories: expected a list of 1"):
            sampler.recall(bad)
    for bad, error in (
        ((np.full(3, 9), 0, 1.0), IndexError), ((np.zeros(3), 0, 1.0), TypeError), (([1], 0, 1.0), TypeError),
        ((good[0], -1, 1.0), ValueError), ((good[0], 1.5, 1.0), TypeError), ((good[0], 0, np.nan), ValueError),
    ):  # fmt: skip
        with pytest.raises(error, match="memories"):
            sampler.recall([bad])
