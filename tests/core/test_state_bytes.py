"""States saved and read back; what is no such state is refused with one message."""

import itertools
from contextlib import suppress

import numpy as np
import pytest

from tests.core.cells import every_cell
from tests.core.networks import network, random_state
from textgru.core import PackedNetwork, Session


def session_of(kind="gru", hidden=5, layers=2, rows=3, dtype=np.float32):
    packed = PackedNetwork(*network(kind, 9, 4, hidden, layers, dtype=dtype))
    session = Session(packed, rows)
    session.state = random_state(packed, rows)
    return session


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_cell
def test_a_saved_state_goes_on(kind, dtype):
    session = session_of(kind, dtype=dtype)
    saved, state = session.save_state(), session.state
    assert isinstance(saved, bytes)
    session.step(np.array([1, 2, 3]))
    logits = session.logits.copy()
    session.load_state(saved)
    np.testing.assert_array_equal(session.state, state)
    session.step(np.array([1, 2, 3]))
    np.testing.assert_array_equal(session.logits, logits)


def test_it_is_safetensors():
    safetensors = pytest.importorskip("safetensors.numpy")
    session = session_of("lstm")
    arrays = safetensors.load(session.save_state())
    np.testing.assert_array_equal([arrays["h"], arrays["c"]], session.state)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"kind": "lstm"}, r"expected that of gru with h \[2, 3, 5\] F32, got that of lstm with c .* h .* F32"),
        ({"kind": "rnn"}, "got that of rnn with h"),
        ({"hidden": 6}, r"got that of gru with h \[2, 3, 6\] F32"),
        ({"rows": 4}, r"got that of gru with h \[2, 4, 5\] F32"),
        ({"dtype": np.float64}, r"got that of gru with h \[2, 3, 5\] F64"),
    ],
    ids=str,
)
def test_the_state_of_another_session_is_refused(other, message):
    session = session_of()
    state = session.state
    with pytest.raises(ValueError, match=message):
        session.load_state(session_of(**other).save_state())
    np.testing.assert_array_equal(session.state, state)


def test_damaged_bytes_are_refused():
    session = session_of()
    saved, state = session.save_state(), session.state
    for size in (0, 1, 7, 8, 9, 50, len(saved) - 1):
        with pytest.raises(ValueError, match="state: "):
            session.load_state(saved[:size])
    for data in (saved + b"x", b"\xff" * 200, b"\0" * 200, b"PK" + saved, (8).to_bytes(8, "little") + b"[[[[[[[["):
        with pytest.raises(ValueError, match="state: "):
            session.load_state(data)
    for at, bit in itertools.product(range(len(saved)), (1, 128)):
        data = bytearray(saved)
        data[at] ^= bit
        with suppress(ValueError):  # not of a header that is spelled otherwise and says the same
            session.load_state(data)
        np.testing.assert_array_equal(session.state, state)
    for data in (None, "x", 3, np.zeros(3)):
        with pytest.raises(TypeError, match="data: expected bytes"):
            session.load_state(data)
