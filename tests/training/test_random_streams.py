"""One use of random numbers doesn't change another."""

import itertools

import numpy as np
import pytest

from tests.texts import sentences
from tests.training.small import trainer
from textgru.training.random_streams import stream
from textgru.training.run import TrainingRun

USES = ("initial weights", "batches", "dropout")
SETTINGS = {"batch_size": 4, "seq_length": 8, "seed": 3}
SHAPE = {"hidden_size": 12, "embedding_size": 6, "num_layers": 2}


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "tales.txt"
    file.write_text(sentences(3_000), encoding="utf-8")
    return file


def test_a_stream_for_each_use_and_seed():
    drawn = {(seed, use): tuple(stream(seed, use).integers(0, 2**32, 4)) for seed in (0, 1, 2**62) for use in USES}
    assert len(set(drawn.values())) == len(drawn)
    assert tuple(stream(1, "batches").integers(0, 2**32, 4)) == drawn[1, "batches"]


def test_the_streams_stay_what_they_are():
    """The same seed gives the same model in later versions."""
    assert [int(stream(3, use).integers(0, 1000)) for use in USES] == [581, 153, 307]


def begin(text_file, out, **network):
    """The initial weights, the places where the first epochs start, and the weights after two of them."""
    with TrainingRun([text_file], out, network={**SHAPE, **network}, training=SETTINGS) as run:
        initial, offsets = run.network.parameters.values.copy(), []
        for _ in range(2 * run.trainer.batches.steps_per_epoch + 3):
            run.trainer.train_step()
            offsets.append(run.trainer.batches.offset)
        return initial, [offset for offset, _ in itertools.groupby(offsets)], run.network.parameters.values


def test_dropout_leaves_weights_and_batches_as_they_are(text_file, tmp_path):
    initial, offsets, end = begin(text_file, tmp_path / "none", dropout=0.0)
    for number, network in enumerate(({"dropout": 0.2}, {"dropout": 0.2, "input_dropout": 0.1})):
        begun = begin(text_file, tmp_path / str(number), **network)
        assert np.array_equal(begun[0], initial)
        assert begun[1] == offsets
        assert not np.array_equal(begun[2], end)


def test_the_size_of_the_network_leaves_batches_as_they_are(text_file, tmp_path):
    one, other = (begin(text_file, tmp_path / str(size), hidden_size=size) for size in (12, 20))
    assert len(one[1]) == 3
    assert one[1] == other[1]


def test_one_stream_for_both_goes_on_as_one():
    """So it is in checkpoints of earlier versions, whose facts have `rng` alone."""
    settings = {"max_steps": 150, "eval_every": 1000, "checkpoint_every": 1000}
    whole = trainer([], dropout=0.3, **settings)
    for step in range(150):
        if step == 20:
            arrays, facts = whole.state()
            arrays = {name: array.copy() for name, array in arrays.items()}
        whole.train_step()
    assert facts.pop("dropout_rng") is None
    gone_on = trainer([], dropout=0.3, **settings)
    gone_on.network.dropout_rng = np.random.default_rng(99)
    gone_on.restore(arrays, facts)
    for _ in range(130):
        gone_on.train_step()
    assert gone_on.state()[1]["dropout_rng"] is None
    assert np.array_equal(gone_on.network.parameters.values, whole.network.parameters.values)


def test_a_state_that_is_none_is_named():
    apart = trainer([], dropout=0.3)
    apart.network.dropout_rng = stream(1, "dropout")
    arrays, facts = apart.state()
    for name in ("rng", "dropout_rng"):
        with pytest.raises(ValueError, match=f"^{name}: not the state of a random generator"):
            trainer([]).restore(arrays, {**facts, name: {"bit_generator": "PCG64"}})
