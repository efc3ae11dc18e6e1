"""The order in which rows of a batch are kept: there and back, and what stands where."""

import numpy as np
import pytest

from textgru.core._sequence.row_order import RowOrder

SIZES = [(1, 1), (3, 31), (1, 32), (4, 33), (5, 65)]
every_size = pytest.mark.parametrize(("steps", "batch"), SIZES, ids=str)


def numbered(steps, batch, width=2):
    """(T, B, n), every element another number."""
    return np.arange(steps * batch * width, dtype=np.float64).reshape(steps, batch, width)


@every_size
def test_there_and_back(steps, batch):
    order, array = RowOrder(steps, batch), numbered(steps, batch)
    for rows in (order.take(array), order.take(array, np.empty((steps * batch, 2)))):
        assert sorted(rows[:, 0]) == sorted(array[..., 0].ravel())
        np.testing.assert_array_equal(order.put(rows), array)
        np.testing.assert_array_equal(order.put(rows, np.empty_like(array)), array)
    flat = order.take(array[..., 0])
    assert flat.shape == (steps * batch,)
    np.testing.assert_array_equal(order.put(flat), array[..., 0])


@every_size
def test_a_half_of_the_batch_is_a_half_of_the_rows(steps, batch):
    order = RowOrder(steps, batch)
    of_batch = order.take(np.broadcast_to(np.arange(batch)[None, :, None], (steps, batch, 1)).copy())[:, 0]
    if batch < 32:
        assert order.first == batch
    else:
        assert order.first == batch // 2
        assert set(of_batch[: order.middle]) == set(range(batch // 2))
        assert set(of_batch[order.middle :]) == set(range(batch // 2, batch))


@every_size
def test_states_before_and_after_each_step(steps, batch):
    order, states, h_0 = RowOrder(steps, batch), numbered(steps, batch), -1 - numbered(1, batch)[0]
    h = np.full((steps * batch + batch, 2), np.nan)
    order.begin(h, h_0)
    order.states(h)[...] = order.take(states)
    assert np.isfinite(h).all()
    before = np.concatenate([h_0[None], states[:-1]])
    wanted = order.take(before)
    covered = 0
    for rows, h_prev in order.before(h):
        np.testing.assert_array_equal(h_prev, wanted[rows])
        covered += len(h_prev)
    assert covered == order.rows
    last = np.empty((batch, 2))
    order.last(order.states(h), last)
    np.testing.assert_array_equal(last, states[-1])
    order.begin(h, None)
    np.testing.assert_array_equal(np.concatenate([h[: order.first], h[order.first + order.rows :]]), 0)


@every_size
@pytest.mark.parametrize("variational", [False, True], ids=["", "variational"])
def test_dropout(steps, batch, variational):
    order = RowOrder(steps, batch)
    rows = np.ones((order.rows, 50))
    order.drop(rows, 0.5, 7, variational=variational)
    beside = np.full_like(rows, np.nan)
    order.drop(beside, 0.5, 7, variational=variational, source=np.ones_like(rows))
    np.testing.assert_array_equal(beside, rows)
    assert set(np.unique(rows)) == {0, 2}
    masks = order.put(rows)
    for other in range(1, batch):
        assert (masks[0, 0] != masks[0, other]).any()
    for step in range(1, steps):
        assert (masks[step] == masks[0]).all() == variational


def test_arrays_that_may_not_be_written():
    order, array = RowOrder(3, 40), numbered(3, 40)
    wanted = order.take(array)
    array.flags.writeable = False
    np.testing.assert_array_equal(order.take(array), wanted)
    wanted.flags.writeable = False
    np.testing.assert_array_equal(order.put(wanted), array)
