"""Steps that ranks make each by themselves, and the outer step that brings them together."""

import numpy as np
import pytest

from tests.training.small import trainer
from textgru.distributed.ranks import Ranks
from textgru.training.events import CheckpointEvent, EvaluationEvent
from textgru.training.outer_step import OuterStep


def test_it_is_sgd_with_nesterovs_momentum():
    weights = np.array([1.0, -2.0, 0.5])
    outer = OuterStep(weights)
    values, momentum = weights.copy(), np.zeros(3)
    for moved_to in ([0.5, -1.0, 0.25], [2.0, 0.0, -1.0], [0.0, 0.0, 0.0]):
        weights[...] = moved_to
        outer.step(Ranks(), weights, [])
        gradient = values - moved_to
        momentum = 0.5 * momentum + gradient
        values = values - (gradient + 0.5 * momentum)
        assert weights == pytest.approx(values, rel=1e-14)


def test_torch_has_the_same_step():
    torch = pytest.importorskip("torch")
    weights = np.array([1.0, -2.0, 0.5])
    outer, theirs = OuterStep(weights), torch.tensor(weights, requires_grad=True)
    sgd = torch.optim.SGD([theirs], lr=1.0, momentum=0.5, nesterov=True)
    for moved_to in ([0.5, -1.0, 0.25], [2.0, 0.0, -1.0], [0.0, 0.0, 0.0]):
        theirs.grad = theirs.detach() - torch.tensor(moved_to, dtype=torch.float64)
        sgd.step()
        weights[...] = moved_to
        outer.step(Ranks(), weights, [])
        assert weights == pytest.approx(theirs.detach().numpy(), rel=1e-14)


def test_a_trainer_makes_it_after_every_so_many_steps():
    inner, outer = trainer(max_steps=20, ema_decay=0.0), trainer(max_steps=20, ema_decay=0.0, sync_every=4)
    first = inner.network.parameters.values.copy()
    for step in range(1, 5):
        for each in (inner, outer):
            each.train_step()
        reached = inner.network.parameters.values
        expected = reached if step < 4 else first - 1.5 * (first - reached)
        assert outer.network.parameters.values == pytest.approx(expected, abs=1e-6)


def test_what_is_due_comes_where_all_are_together():
    run = trainer(max_steps=14, eval_every=3, checkpoint_every=1000, sync_every=4)
    events = [event for event in run.events() if isinstance(event, (EvaluationEvent, CheckpointEvent))]
    assert [event.step for event in events if isinstance(event, EvaluationEvent)] == [4, 8, 12, 14]


def test_going_on_from_a_checkpoint_gives_the_same_bits():
    settings = {"max_steps": 24, "eval_every": 8, "sync_every": 4, "optimizer": "muon"}
    states = []
    whole = trainer(checkpoint=lambda: states.append(whole.state()), **settings)
    copies = []
    for event in whole.events():
        if isinstance(event, CheckpointEvent):
            arrays, facts = states[-1]
            copies.append(({name: array.copy() for name, array in arrays.items()}, facts))
    again = trainer(seed=2, **settings)
    again.restore(*copies[0])
    list(again.events())
    assert (again.network.parameters.values == whole.network.parameters.values).all()
