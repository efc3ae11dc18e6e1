"""Odd calls of the core end well or are refused with a message. In processes of their own: a crash is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from textgru.core.threads import has_openmp

ROOT = Path(__file__).parents[2]
PATIENCE = int(os.environ.get("TEXTGRU_TEST_PATIENCE", "1"))  # how much slower than usual the machine may be


def run(code, *arguments):
    result = subprocess.run(
        [sys.executable, *code, *map(str, arguments)],
        capture_output=True, text=True, timeout=120 * PATIENCE, cwd=ROOT,
    )  # fmt: skip
    assert result.returncode == 0, f"exit code {result.returncode}\n{result.stdout}\n{result.stderr[-3000:]}"
    return result.stdout


@pytest.mark.parametrize("seed", [1, 2])
def test_odd_calls_are_refused_or_end_well(seed, tmp_path):
    assert "refused" in run(
        ["-m", "benchmarks.core_misuse"], "--cases", 400, "--seed", seed, "--trace", tmp_path / "trace"
    )


CALLS = """
import numpy as np
from textgru.core import (
    GRU, AdamW, Embedding, Linear, PackedNetwork, Session, WeightAverage, flatten, set_num_threads
)

set_num_threads(2)
layer = Linear(300, 200, seed=0)
parameters = flatten({"layer": layer})

def refused(call, *kinds):
    try:
        call()
    except kinds:
        return
    raise SystemExit(f"{call.__name__}: not refused")
"""

MISUSES = {
    "betas of another length": """
for betas in ((0.9,), (), (0.9, 0.99, 0.999), [0.9], None, 0.9, "ab", {0.9}, (0.9, None)):
    refused(lambda: AdamW(parameters, betas=betas), TypeError, ValueError)
    optimizer = AdamW(parameters)
    optimizer.betas = betas
    refused(optimizer.step, TypeError, ValueError)
""",
    "moments of another size or type": """
whole = np.zeros(parameters.values.size, np.float32)
read_only = whole.copy()
read_only.flags.writeable = False
for name in ("exp_avg", "exp_avg_sq"):
    for moment in (None, whole[:4].copy(), whole.astype(np.float64), whole[::-1], read_only, parameters.values, [0.0]):
        optimizer = AdamW(parameters)
        setattr(optimizer, name, moment)
        refused(optimizer.step, TypeError, ValueError)
        assert optimizer.steps == 0
optimizer.exp_avg, optimizer.exp_avg_sq = whole, whole.copy()
optimizer.step()
optimizer.exp_avg = optimizer.exp_avg_sq
refused(optimizer.step, ValueError)
""",
    "parameters that are replaced": """
for name in ("values", "gradients", "slices", "shapes", "ties"):
    for value in (None, np.zeros(4, np.float32), np.zeros(parameters.values.size, np.float32)):
        refused(lambda: setattr(parameters, name, value), AttributeError)
    refused(lambda: delattr(parameters, name), AttributeError)
parameters.gradients *= 0.5
average = WeightAverage(parameters, 0.9)
average.values = np.zeros(1, np.float32)
refused(lambda: average.update(1), TypeError, ValueError)
refused(average.in_use().__enter__, TypeError, ValueError)
""",
    "sizes that are changed": """
x = np.ones((20, 40, 8), np.float32)
for name in ("hidden_size", "input_size", "num_layers", "bias", "reset_after", "dtype", "parameters", "gradients"):
    gru = GRU(8, 16)
    refused(lambda: setattr(gru, name, 5), AttributeError)
    gru.backward(np.ones_like(gru.forward(x)[0]))
""",
    "an index that is changed between forward and backward": """
rows = np.ones((40, 40, 300), np.float32)
for bad in (10**9, -(10**9)):
    embedding, index = Embedding(7, 300, seed=0), np.zeros((40, 40), np.intp)
    embedding.forward(index)
    index[...] = bad
    embedding.backward(rows)
    assert (embedding.gradients["weight"][0] == 1600).all()
    for steps, batch in ((40, 40), (5, 3)):
        gru, index = GRU(8, 16, seed=0), np.zeros((steps, batch), np.intp)
        y, _ = gru.forward_lookup(np.ones((7, 8), np.float32), index)
        index[...] = bad
        dtable, _ = gru.backward(np.ones_like(y))
        assert (dtable[1:] == 0).all()
        assert (dtable[0] != 0).any()
""",
    "a session that is made by half, or twice": """
refused(lambda: Session.__new__(Session), TypeError)
refused(lambda: PackedNetwork.__new__(PackedNetwork), TypeError)
parts = np.ones((7, 8), np.float32), GRU(8, 16, seed=0), Linear(16, 7, seed=0)
packed = PackedNetwork(*parts)
session = Session(packed, 2)
for again in (lambda: packed.__init__(*parts), lambda: session.__init__(packed, 9)):
    try:
        again()
    except TypeError:
        pass
assert session.logits.shape == (2, 7)
session.generate(np.zeros(2, np.intp), np.full((20, 2), 0.5), 1.0)
del packed, parts
session.generate(np.zeros(2, np.intp), np.full((20, 2), 0.5), 1.0)
""",
    "scores that are given another shape": """
session = Session(PackedNetwork(np.ones((7, 8), np.float32), GRU(8, 16, seed=0), Linear(16, 7, seed=0)), 2)
logits = session.logits
refused(lambda: setattr(session, "logits", np.zeros((2, 7), np.float32)), AttributeError)
logits[...] = np.nan
refused(lambda: session.draw(1.0, np.full(2, 0.5)), ValueError)
session.step(np.zeros(2, np.intp))
assert np.isfinite(session.draw(1.0, np.full(2, 0.5))).all()
""",
    "arrays that say something else than they are": """
class Lying(np.ndarray):
    dtype = np.dtype(np.float32)

class Wide(np.ndarray):
    shape = (4000, 300)

for x in (np.ones((4, 300), np.float16).view(Lying), np.ones((4, 300), np.float32).view(Wide)):
    refused(lambda: layer.forward(x), TypeError)
array = layer.parameters["weight"]
room = np.zeros(300 * 4 + 1, np.uint8)[1:].view(np.float32)
refused(lambda: layer.forward(room[None]), ValueError)
""",
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse(name):
    run(["-c", CALLS + MISUSES[name]])


FORK = """
import os, signal
import numpy as np
from textgru.core import (
    GRU, AdamW, Linear, PackedNetwork, Session, flatten, get_num_threads, set_num_threads, softmax_cross_entropy
)

def everything():
    gru, output = GRU(100, 300, 2, seed=0), Linear(300, 300, seed=0)
    parameters = flatten({"gru": gru, "output": output})
    y, _ = gru.forward(np.ones((20, 40, 100), np.float32))
    logits = output.forward(y).reshape(-1, 300)
    dlogits = np.empty_like(logits)
    softmax_cross_entropy(logits, np.zeros(len(logits), np.intp), dlogits=dlogits)
    gru.backward(output.backward(dlogits.reshape(20, 40, 300)))
    AdamW(parameters).step()
    packed = PackedNetwork(np.ones((300, 100), np.float32), gru, output)
    Session(packed).generate(0, np.full(20, 0.5), 1.0)
    Session(packed, 30).read(np.zeros((20, 30), np.intp))
    return parameters.values.tobytes()

set_num_threads(2)
wanted = everything() if RAN else None
child = os.fork()
if child == 0:
    signal.alarm(60 * PATIENCE)
    before = get_num_threads()
    set_num_threads(2)
    here = everything()
    os._exit(10 * before + get_num_threads() if wanted in (None, here) else 99)
raise SystemExit(0 if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == WANTED else 1)
"""


@pytest.mark.skipif(not (hasattr(os, "fork") and has_openmp()), reason="no fork on this system, or no OpenMP")
@pytest.mark.parametrize(("ran", "threads"), [(True, 11), (False, 22)], ids=["after threads ran", "before"])
def test_a_forked_child_goes_on(ran, threads):
    """With one thread where several had run, or as its parent."""
    run(["-c", FORK.replace("RAN", str(ran)).replace("WANTED", str(threads)).replace("PATIENCE", str(PATIENCE))])
