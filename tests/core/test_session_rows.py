"""What a row reads, scores and draws doesn't depend, to the bit, on the other rows nor on the number of threads."""

import numpy as np
import pytest

from tests.core.cells import every_cell
from tests.core.networks import network, random_state, random_tokens
from textgru.core import PackedNetwork, Sampler, Session, set_num_threads, simd
from textgru.core._stepping.sharing import set_fewest_rows_each

MOST = 64
ROWS = (1, 2, 3, 7, 17, MOST)
STEPS = 6


@pytest.fixture(autouse=True)
def _threads_share_whatever_the_wait(monkeypatch):
    monkeypatch.setattr("textgru.core._stepping.sharing.wait_seconds", lambda *_: 0.0)


@pytest.fixture(params=[1, 1000], ids=["share rows", "share units"])
def sharing(request):
    before = set_fewest_rows_each(request.param)
    yield
    set_fewest_rows_each(before)


def everything(packed, state, tokens, u):
    """What a session of these rows gives, each array with the rows in its second dimension."""
    rows = tokens.shape[1]
    session = Session(packed, rows)
    session.state = state
    session.read(tokens)
    results = {"read": session.logits[None].copy()}
    results["losses"] = session.losses(tokens[:-1], tokens[1:])
    session.step(tokens[0])
    results["step"] = session.logits[None].copy()
    results["drawn"] = session.draw(0.9, u[0].copy())[None]
    before = session.state
    results["generated"], results["its losses"] = session.generate(tokens[0].copy(), u, 0.9, 3, return_losses=True)
    session.state = before
    again = session.generate(tokens[0].copy(), u, sampler=Sampler(packed.vocab_size, rows, temperature=0.9, banned=[3]))
    np.testing.assert_array_equal(again, results["generated"])
    session.state = before
    read = np.concatenate([tokens[:1], results["generated"][:-1]])
    np.testing.assert_array_equal(session.losses(read, results["generated"]), results["its losses"])
    results |= {f"state {i}": array for i, array in enumerate(session.state)}
    return results


def check(packed, threads):
    """Rows in groups of every size, out of the same MOST."""
    state, tokens = random_state(packed, MOST), random_tokens(packed, STEPS, MOST)
    u = np.random.default_rng(1).random((STEPS, MOST))
    set_num_threads(1)
    wanted = everything(packed, state, tokens, u)
    for count in threads:
        set_num_threads(count)
        for rows in ROWS:
            part = slice(MOST - rows, MOST)
            parts = tuple(array[:, part].copy() for array in state)
            got = everything(packed, parts, tokens[:, part].copy(), u[:, part].copy())
            for name, array in got.items():
                np.testing.assert_array_equal(array, wanted[name][:, part], err_msg=f"{name}, {rows} rows")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("hidden", [3, 65, 150])
@pytest.mark.usefixtures("sharing")
@every_cell
def test_a_row_does_not_depend_on_its_neighbours(kind, hidden, precision):
    check(PackedNetwork(*network(kind, 70, 9, hidden, 2), precision=precision), (1, 2, 3))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_with_a_large_vocabulary_and_long_sums(precision):
    """Sums of more than 1024 elements are made in parts."""
    check(PackedNetwork(*network("gru", 1040, 2100, 70, 1), precision=precision), (2,))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("name", simd.supported_instruction_sets())
def test_every_instruction_set(name, precision):
    simd.set_instruction_set(name)
    check(PackedNetwork(*network("gru", 70, 9, 65, 2), precision=precision), (1, 3))


def test_float64():
    check(PackedNetwork(*network("lstm", 70, 9, 65, 2, dtype=np.float64)), (1, 3))
