"""Trainers that share the work of a step."""

import threading

import numpy as np
import pytest

from tests.training.small import CYCLE, trainer
from textgru.errors import TextgruError
from textgru.training.events import EvaluationEvent, StepEvent

SEQ, STEPS = 10, 12
TOKENS = np.random.default_rng(0).integers(0, 7, 2 * STEPS * SEQ + 1, np.uint8)  # two rows, one after the other
HELD_OUT = CYCLE[:500]


class Mean:
    """Among threads, what an all-reduce is among processes."""

    def __init__(self, number):
        self.parts = [None] * number
        self.barrier = threading.Barrier(number)

    def of(self, rank):
        def reduce(gradients, loss):
            self.parts[rank] = (gradients.copy(), loss)
            self.barrier.wait(20)
            gradients[...] = np.mean([part[0] for part in self.parts], axis=0)
            mean = float(np.mean([part[1] for part in self.parts]))
            self.barrier.wait(20)
            return mean

        return reduce


def on(tokens, rows, **options):
    """A trainer on these tokens, laid out in `rows` rows."""
    tokens = np.concatenate([tokens, HELD_OUT])
    return trainer([], tokens=tokens, batch_size=rows, seq_length=SEQ, max_steps=STEPS, eval_every=5,
                   optimizer="adamw", **options)  # fmt: skip


def together(trainers):
    """The events of each, trained at the same time; or what it raised."""
    results = [None] * len(trainers)

    def train(rank):
        try:
            results[rank] = list(trainers[rank].events())
        except TextgruError as error:
            results[rank] = error

    threads = [threading.Thread(target=train, args=(rank,)) for rank in range(len(trainers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_halves_of_the_batch_are_the_whole():
    whole, mean = on(TOKENS, 2), Mean(2)
    halves = [on(TOKENS[: STEPS * SEQ + 1], 1, reduce=mean.of(0)), on(TOKENS[STEPS * SEQ :], 1, reduce=mean.of(1))]
    wanted, first, second = together([whole, *halves])
    assert np.array_equal(halves[0].network.parameters.values, halves[1].network.parameters.values)
    np.testing.assert_allclose(halves[0].network.parameters.values, whole.network.parameters.values, atol=2e-4)
    for got in (first, second):
        assert [(type(event), event.step) for event in got] == [(type(event), event.step) for event in wanted]
        for kind, names in ((StepEvent, ("loss", "gradient_norm")), (EvaluationEvent, ("train_loss", "val_loss"))):
            for one, other in zip(got, wanted, strict=True):
                for name in names if isinstance(one, kind) else ():
                    assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-3), name


def test_what_goes_wrong_in_one_ends_all():
    mean = Mean(2)
    trainers = [on(TOKENS, 1, reduce=mean.of(rank)) for rank in (0, 1)]
    trainers[1].network.parameters.values[...] = np.nan
    assert all("step 1: the loss is no longer finite" in str(error) for error in together(trainers))
