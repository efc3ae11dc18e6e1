"""Odd calls of the core: arguments, attributes and memory that don't fit. Every call has to end well or be refused with
a message; none may crash, hang or write beyond an array.

    python -m benchmarks.core_misuse --cases 20000 --seed 1

Prints how many were refused and accepted; exits with 1 and the case where one failed. A crash ends the process: the
case is then the last line of the file that --trace names.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import os
import pickle
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from textgru.core import (
    GRU,
    LSTM,
    RNN,
    AdamW,
    Embedding,
    Linear,
    PackedNetwork,
    Parameters,
    Products,
    RowOrder,
    Session,
    WeightAverage,
    Workspace,
    clip_grad_norm,
    ctc_loss,
    dequantize_rows,
    flatten,
    gradient_norm,
    quantize_rows,
    set_num_threads,
    simd,
    softmax_cross_entropy,
    threads,
)
from textgru.core._products import blas, packing
from textgru.core._sequence import row_copies
from textgru.core._support import aligned, lookup, sums
from textgru.core._support.dropout import dropout
from textgru.core.optim import lerp
from textgru.core.products import choose_precision, set_product_kernels

REFUSALS = (TypeError, ValueError, IndexError, RuntimeError, AttributeError, KeyError, MemoryError, OverflowError)
MARGIN = 64  # elements on both sides of an array, to see what is written beyond it
CANARY = 107

Target = tuple[Callable[..., Any], dict[str, Any]]


class Lying(np.ndarray):
    """Says float32 of whatever it holds."""

    @property
    def dtype(self) -> Any:
        return np.dtype(np.float32)


class Arrays:
    """Makes arrays that stand in the middle of larger ones, and sees what was written around them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rooms: list[tuple[np.ndarray, np.ndarray, int]] = []

    def guarded(self, array: np.ndarray) -> np.ndarray:
        room = np.full(array.nbytes + 2 * MARGIN, CANARY, np.uint8)
        inside = room[MARGIN : MARGIN + array.nbytes].view(array.dtype).reshape(array.shape)
        inside[...] = array
        self.rooms.append((room, inside, array.nbytes))
        return inside

    def floats(self, *shape: int, dtype: Any = np.float32) -> np.ndarray:
        return self.guarded(self.rng.standard_normal(shape).astype(dtype))

    def index(self, *shape: int, bound: int) -> np.ndarray:
        return self.guarded(self.rng.integers(0, bound, shape).astype(np.intp))

    def check(self) -> None:
        for room, _, size in self.rooms:
            if (room[:MARGIN] != CANARY).any() or (room[MARGIN + size :] != CANARY).any():
                raise AssertionError("written beyond an array")


def odd_value(rng: np.random.Generator) -> Any:
    values = [
        None, True, False, "", "fp32", "x", b"x", 1j, float("nan"), float("inf"), -float("inf"), -1, 0, 1, 2, 3, 7,
        0.5, -0.5, 2**31, 2**31 - 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, 1e308, 1e-308, 1e-46, 5e-324,
        [], {}, (), [1, 2], {"a": 1}, object(), np.float32(2), np.int64(3), np.bool_(True), np.float64("nan"),
        np.array(3), np.array(3.0), np.zeros(0), np.zeros((0, 3), np.float32), np.zeros(5, object), np.array(["a"]),
        SimpleNamespace(shape=(2, 3), dtype=np.float32),
        SimpleNamespace(values=np.zeros(3, np.float32), gradients=np.zeros(3, np.float32), slices={}, shapes={}),
        memoryview(b"abcdefgh"), range(5), np.datetime64("2020-01-01"), lambda: None, int, np.float32, slice(3), ...,
    ]  # fmt: skip
    return values[rng.integers(len(values))]


def odd_array(rng: np.random.Generator, a: np.ndarray, others: list[np.ndarray]) -> Any:
    """Something like the array `a`, but not quite."""
    flat = a.reshape(-1)
    types = (
        np.float64,
        np.float32,
        np.float16,
        np.int32,
        np.int64,
        np.uint8,
        complex,
        object,
        a.dtype.newbyteorder(">"),
    )
    limits = np.iinfo(np.intp)
    ways: list[Callable[[], Any]] = [
        *[lambda dtype=dtype: a.astype(dtype) for dtype in types],
        lambda: a.T, lambda: a[::-1], lambda: a[..., ::-1], lambda: a[..., ::2], lambda: np.asfortranarray(a),
        lambda: a[1:], lambda: a[:-1], lambda: a[:0], lambda: a[..., :0], lambda: a[None], lambda: flat,
        lambda: flat.reshape(1, -1), lambda: flat.reshape(-1, 1), lambda: flat[:1].reshape(()), lambda: a.tolist(),
        lambda: np.ma.masked_array(a, a > 0), lambda: np.matrix(flat), lambda: a.view(Lying), lambda: a.data,
        lambda: np.broadcast_to(flat[:1].reshape((1,) * a.ndim), a.shape), lambda: read_only(a), lambda: misaligned(a),
        lambda: np.lib.stride_tricks.as_strided(a, a.shape, (a.itemsize,) * a.ndim, writeable=False), lambda: field(a),
        lambda: np.concatenate([a, a]), lambda: np.concatenate([a, a], axis=-1), lambda: np.array(a), lambda: a,
        lambda: np.full_like(a, -1), lambda: np.full_like(a, 120), lambda: (a * float("nan")).astype(a.dtype),
        lambda: np.full(a.shape, limits.max), lambda: np.full(a.shape, limits.min),
        lambda: others[rng.integers(len(others))] if others else a,
        lambda: others[rng.integers(len(others))].reshape(-1)[: a.size].reshape(a.shape) if others else a,
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ways[rng.integers(len(ways))]()
        except REFUSALS:
            return None


def read_only(a: np.ndarray) -> np.ndarray:
    result: np.ndarray = a.copy()
    result.flags.writeable = False
    return result


def misaligned(a: np.ndarray) -> np.ndarray:
    room = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    room[...] = a
    return room


def field(a: np.ndarray) -> np.ndarray:
    """Elements that stand 5 bytes and their own size apart."""
    room = np.zeros(a.shape, np.dtype([("a", a.dtype), ("b", "S5")]))
    room["a"] = a
    return room["a"]


def targets(rng: np.random.Generator, make: Arrays) -> list[Callable[[], Target]]:
    """Calls that are right, in small sizes and now and then in such that threads share."""
    large = rng.random() < 0.05
    n, m, k = (int(rng.integers(60, 130)) if large else int(rng.integers(1, 20)) for _ in range(3))
    steps, batch = int(rng.integers(1, 12)), int(rng.integers(1, 40))
    dtype = np.float32 if rng.random() < 0.7 else np.float64
    precision = "bf16" if dtype == np.float32 and rng.random() < 0.3 else "fp32"
    layers = int(rng.integers(1, 4))

    def gru() -> GRU | RNN:
        if rng.random() < 0.3:
            return RNN(k, m, layers, dtype=dtype, precision=precision, seed=1, dropout=0.2)
        return GRU(k, m, layers, dtype=dtype, precision=precision, seed=1, dropout=0.2, reset_after=rng.random() < 0.5)

    def lstm_passes(x: Any, h_0: Any, c_0: Any, dy: Any, dh_n: Any, dc_n: Any) -> Any:
        layer = LSTM(k, m, layers, dtype=dtype, precision=precision, seed=1)
        layer.forward(x, (h_0, c_0))
        return layer.backward(dy, (dh_n, dc_n))

    def linear() -> Linear:
        return Linear(k, m, dtype=dtype, precision=precision, seed=1)

    def f(*shape: int) -> np.ndarray:
        return make.floats(*shape, dtype=dtype)

    def linear_backward(**arguments: Any) -> Any:
        layer = linear()
        layer.forward(f(n, k))
        return layer.backward(**arguments)

    def gru_backward(**arguments: Any) -> Any:
        layer = gru()
        layer.forward(f(steps, batch, k))
        return layer.backward(**arguments)

    def lookup_then(table: Any, index: Any, change: Any) -> Any:
        layer = gru()
        y, _ = layer.forward_lookup(table, index)
        index[...] = change
        return layer.backward(np.ones_like(y))

    def embedding_then(index: Any, change: Any) -> Any:
        layer = Embedding(n, k, dtype=dtype, seed=1)
        y = layer.forward(index)
        index[...] = change
        return layer.backward(np.ones_like(y))

    def attribute(make_object: Callable[[], Any], use: Callable[[Any], Any]) -> Callable[..., Any]:
        def call(name: Any, value: Any, again: Any) -> None:
            thing = make_object()
            names = [name for name in dir(thing) if not name.startswith("_")]
            setattr(thing, names[name % len(names)], value)
            for _ in range(again % 3 + 1):
                use(thing)

        return call

    def in_place(name: Any, how: Any, value: Any) -> None:
        """An array of a layer gets another shape or type where it stands."""
        layer = gru()
        array = list(layer.parameters.values())[name % len(layer.parameters)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            setattr(array, ("shape", "dtype", "strides")[how % 3], value)
        step_of_gru(layer)
        Session(PackedNetwork(f(n, k), layer, Linear(m, n, dtype=dtype))).step(0)

    def step_of_gru(layer: Any) -> None:
        y, _ = layer.forward(f(steps, batch, k))
        layer.backward(np.ones_like(y))

    def step_of_linear(layer: Any) -> None:
        layer.backward(np.ones_like(layer.forward(f(n, k))))

    def optimizer() -> AdamW:
        return AdamW(flatten({"a": linear()}))

    def step_of_parameters(parameters: Any) -> None:
        average = WeightAverage(parameters, 0.9)
        AdamW(parameters).step()
        average.update(3)
        gradient_norm(parameters)
        clip_grad_norm(parameters, 1e-3)
        parameters.views(parameters.values)

    def step_of_average(average: Any) -> None:
        average.update(2)
        with average.in_use():
            pass

    def packed() -> PackedNetwork:
        cell = (GRU, LSTM, RNN)[int(rng.integers(3))]
        return PackedNetwork(
            f(n, k),
            cell(k, m, layers, dtype=dtype, seed=1),
            Linear(m, n, dtype=dtype, seed=1),
            precision="fp32" if dtype is np.float64 else ("fp32", "bf16", "int8")[int(rng.integers(3))],
        )

    def session() -> Session:
        return Session(packed(), batch)

    def use_session(session: Any) -> None:
        tokens, u = np.zeros((3, batch), np.intp), rng.random((3, batch))
        session.step(tokens[0])
        session.generate(tokens[0], u, 1.0)
        session.losses(tokens, tokens)
        session.state = session.state
        session.load_state(session.save_state())

    def load_state(data: Any, at: Any, byte: Any) -> None:
        one = session()
        changed = bytearray(one.save_state())
        if isinstance(at, int) and isinstance(byte, int):
            changed[at % len(changed)] = byte % 256
        one.load_state(changed if data is None else data)

    def set_state(first: Any, second: Any) -> None:
        one = session()
        one.state = (first, second)[: len(one.state)]
        use_session(one)

    def copied(thing: Any, how: Any) -> None:
        average = WeightAverage(flatten({"a": linear()}), 0.9)
        made = [gru(), linear(), optimizer(), session(), packed(), average, Products()]
        chosen = made[thing % len(made)]
        copy.deepcopy(chosen) if how else pickle.loads(pickle.dumps(chosen))

    def both_flattened(**layers: Any) -> None:
        step_of_parameters(flatten(layers, ties={"b.weight": "a.weight"}))

    one, two = linear(), linear()
    return [
        lambda: (linear().forward, {"x": f(n, k), "training": True, "out": f(n, m)}),
        lambda: (linear_backward, {"dy": f(n, m), "accumulate": False, "out": f(n, k)}),
        lambda: (Embedding(n, k, dtype=dtype).forward, {"index": make.index(m, 2, bound=n)}),
        lambda: (embedding_then, {"index": make.index(m, 2, bound=n), "change": 0}),
        lambda: (gru().forward, {"x": f(steps, batch, k), "h_0": f(layers, batch, m), "training": True, "copy": False}),
        lambda: (lstm_passes, {
            "x": f(steps, batch, k), "h_0": f(layers, batch, m), "c_0": f(layers, batch, m), "dy": f(steps, batch, m),
            "dh_n": f(layers, batch, m), "dc_n": f(layers, batch, m)}),
        lambda: (LSTM(k, m, layers, dtype=dtype).forward, {"x": f(steps, batch, k), "h_0": (f(layers, batch, m),) * 2}),
        lambda: (gru_backward, {"dy": f(steps, batch, m), "dh_n": f(layers, batch, m), "copy": True}),
        lambda: (gru().forward_lookup, {"table": f(n, k), "index": make.index(steps, batch, bound=n), "h_0": None}),
        lambda: (lookup_then, {"table": f(n, k), "index": make.index(steps, batch, bound=n), "change": 0}),
        lambda: (gru().forward_rows, {"x": f(steps * batch, k), "index": None, "order": RowOrder(steps, batch)}),
        lambda: (gru().backward_rows, {"dy": f(steps * batch, m)}),
        lambda: (gru().load, {"arrays": dict(gru().parameters)}),
        lambda: (softmax_cross_entropy, {
            "logits": f(n, m), "targets": make.index(n, bound=m), "dlogits": f(n, m), "scale": 1.0,
            "ignore_index": -100}),
        lambda: (ctc_loss, {
            "logits": f(n, batch, m + 1), "targets": 1 + make.index(batch, k, bound=m),
            "input_lengths": make.index(batch, bound=n + 1), "target_lengths": make.index(batch, bound=k + 1),
            "blank": 0, "reduction": "none", "zero_infinity": True, "dlogits": f(n, batch, m + 1), "scale": 1.0}),
        lambda: (attribute(optimizer, lambda o: o.step()), {"name": int(rng.integers(50)), "value": f(k), "again": 1}),
        lambda: (attribute(gru, step_of_gru), {"name": int(rng.integers(50)), "value": 3, "again": 1}),
        lambda: (attribute(linear, step_of_linear), {"name": int(rng.integers(50)), "value": 3, "again": 1}),
        lambda: (attribute(lambda: flatten({"a": linear()}), step_of_parameters), {
            "name": int(rng.integers(50)), "value": f(k), "again": 1}),
        lambda: (attribute(lambda: WeightAverage(flatten({"a": linear()}), 0.9), step_of_average), {
            "name": int(rng.integers(50)), "value": f(k), "again": 1}),
        lambda: (attribute(session, use_session), {"name": int(rng.integers(50)), "value": f(k), "again": 1}),
        lambda: (attribute(lambda: RowOrder(steps, batch), lambda order: gru().forward_rows(
            f(steps * batch, k), None, order)), {"name": int(rng.integers(50)), "value": 99, "again": 1}),
        lambda: (in_place, {"name": int(rng.integers(50)), "how": int(rng.integers(3)), "value": (-1,)}),
        lambda: (AdamW, {"parameters": flatten({"a": linear()}), "lr": 1e-3, "betas": (0.9, 0.99), "eps": 1e-8}),
        lambda: (optimizer().step, {"lr": 0.1, "gradient_scale": 1.0}),
        lambda: (clip_grad_norm, {"parameters": flatten({"a": linear()}), "max_norm": 1.0}),
        lambda: (WeightAverage, {"parameters": flatten({"a": linear()}), "decay": 0.9}),
        lambda: (WeightAverage(flatten({"a": linear()}), 0.9).update, {"step": 3}),
        lambda: (both_flattened, {"a": one, "b": two}),
        lambda: (Parameters, {"shapes": {"a": (n, k), "b": (k,)}, "dtype": dtype, "ties": {}}),
        lambda: (GRU, {"input_size": k, "hidden_size": m, "num_layers": 2, "dropout": 0.1, "seed": 1, "bias": True}),
        lambda: (GRU, {"input_size": k, "hidden_size": m, "dtype": dtype, "precision": "fp32", "reset_after": True}),
        lambda: (Linear, {"in_features": k, "out_features": m, "bias": True, "dtype": dtype, "seed": 1}),
        lambda: (Embedding, {"num_embeddings": k, "embedding_dim": m, "dtype": dtype, "seed": 1}),
        lambda: (PackedNetwork, {
            "embedding": f(n, k), "recurrent": gru(), "output": Linear(m, n, dtype=dtype), "precision": "fp32"}),
        lambda: (Session, {"packed": packed(), "rows": batch}),
        lambda: (session().generate, {
            "tokens": make.index(batch, bound=n), "u": rng.random((5, batch)), "temperature": 1.0, "never": -1}),
        lambda: (session().draw, {"temperature": 1.0, "u": rng.random(batch)}),
        lambda: (session().step, {"tokens": make.index(batch, bound=n)}),
        lambda: (session().read, {"tokens": make.index(5, batch, bound=n)}),
        lambda: (session().losses, {
            "tokens": make.index(5, batch, bound=n), "targets": make.index(5, batch, bound=n)}),
        lambda: (session().reorder, {"rows": make.index(batch, bound=batch)}),
        lambda: (load_state, {"data": None, "at": int(rng.integers(10**6)), "byte": int(rng.integers(256))}),
        lambda: (set_state, {"first": f(layers, batch, m), "second": f(layers, batch, m)}),
        lambda: (lookup.gather, {"table": f(n, k), "index": make.index(m, bound=n), "rows": f(m, k)}),
        lambda: (lookup.scatter_add, {"index": make.index(m, bound=n), "rows": f(m, k), "table": f(n, k)}),
        lambda: (sums.column_sums, {"x": f(n, k), "sums": f(k), "accumulate": False}),
        lambda: (dropout, {"x": f(n * k), "p": 0.5, "key": 1, "period": n, "start": 0, "source": f(n * k)}),
        lambda: (lerp, {"y": f(n), "x": f(n), "weight": 0.5}),
        lambda: ((simd.exp, simd.sigmoid, simd.tanh)[n % 3], {"x": f(n), "y": f(n)}),
        lambda: (blas.multiply, {"a": f(n, k), "b": f(k, m), "c": f(n, m), "transpose_a": False, "accumulate": False}),
        lambda: (Products(precision).multiply, {"a": f(n, k), "b": f(k, m), "c": f(n, m), "bias": f(m)}),
        lambda: (Products(precision).multiply, {"a": f(k, n).T, "b": f(k, m), "c": f(n, m), "accumulate": True}),
        lambda: (Products(precision).multiply_sum, {"pairs": [(f(n, k), f(k, m)), (f(n, k), f(k, m))], "c": f(n, m)}),
        lambda: (lambda a, b, c, d, e: Products(precision).multiply_sum([(a, b), (c, d)], e), {
            "a": f(n, k), "b": f(k, m), "c": f(n, k), "d": f(k, m), "e": f(n, m)}),
        lambda: (Products, {"precision": "fp32", "kernels": None}),
        lambda: (packing.pack, {"matrix": f(n, k)}),
        lambda: (packing.pack_bf16, {"matrix": make.floats(n, k), "gates": 1}),
        lambda: (packing.pack_int8, {"matrix": make.floats(n, k)}),
        lambda: (quantize_rows, {"matrix": make.floats(n, k)}),
        lambda: (dequantize_rows, {
            "integers": make.guarded(np.ones((n, k), np.int8)), "scales": make.floats(n)}),
        lambda: (row_copies.take_halves, {
            "array": make.guarded(np.ones((steps, batch, 8), np.uint8)),
            "rows": make.guarded(np.ones((steps * batch, 8), np.uint8)), "first": batch // 2}),
        lambda: (row_copies.put_halves, {
            "rows": make.guarded(np.ones((steps * batch, 8), np.uint8)),
            "array": make.guarded(np.ones((steps, batch, 8), np.uint8)), "first": batch // 2}),
        lambda: (RowOrder(steps, batch).take, {"array": f(steps, batch, k), "out": f(steps * batch, k)}),
        lambda: (RowOrder(steps, batch).put, {"rows": f(steps * batch, k), "out": f(steps, batch, k)}),
        lambda: (RowOrder, {"steps": steps, "batch": batch}),
        lambda: (aligned.empty, {"shape": (n, k), "dtype": dtype}),
        lambda: (aligned.zeros, {"shape": n, "dtype": dtype}),
        lambda: (Workspace(np.dtype(dtype)).get, {"name": "a"}),
        lambda: (threads.wait_seconds, {"regions": 2, "times": 3}),
        lambda: (set_num_threads, {"threads": int(rng.integers(1, 4))}),
        lambda: (set_product_kernels, {"name": ("auto", "packed", "blas")[n % 3]}),
        lambda: (simd.set_instruction_set, {"name": "baseline"}),
        lambda: (choose_precision, {"wanted": "auto"}),
        lambda: (copied, {"thing": int(rng.integers(6)), "how": bool(n % 2)}),
    ]  # fmt: skip


def one_case(rng: np.random.Generator, trace: Callable[[str], None]) -> str:
    """ "refused" or "accepted"; raises AssertionError for what may not be."""
    make = Arrays(rng)
    set_num_threads(int(rng.integers(1, 4)))
    simd.set_instruction_set(simd.supported_instruction_sets()[0])
    set_product_kernels(("auto", "packed", "blas")[rng.integers(3)])
    choices = targets(rng, make)
    number = int(rng.integers(len(choices)))
    call, arguments = choices[number]()
    arrays = [value for value in arguments.values() if isinstance(value, np.ndarray)]
    for _ in range(int(rng.integers(1, 3))):
        if not arguments:
            break
        name = list(arguments)[rng.integers(len(arguments))]
        value = arguments[name]
        if isinstance(value, np.ndarray) and rng.random() < 0.75:
            arguments[name] = odd_array(rng, value, arrays)
        elif rng.random() < 0.1:
            del arguments[name]
        else:
            arguments[name] = odd_value(rng)
    trace(f"{number} {getattr(call, '__qualname__', call)} { ({k: _brief(v) for k, v in arguments.items()}) }")
    try:
        call(**arguments)
        outcome = "accepted"
    except REFUSALS as error:
        if not str(error).strip("'\" "):
            raise AssertionError(f"{type(error).__name__} without a message") from error
        outcome = "refused"
    make.check()
    return outcome


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{type(value).__name__} {value.dtype} {value.shape}"
    return repr(value)[:60]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trace", metavar="FILE")
    options = parser.parse_args()
    faulthandler.enable()
    warnings.simplefilter("ignore")
    outcomes: Counter[str] = Counter()
    with open(options.trace or os.devnull, "w", buffering=1) as file:  # noqa: PTH123
        for case in range(options.cases):
            last: list[str] = []

            def trace(line: str, case: int = case, last: list[str] = last) -> None:
                last.append(line)
                if options.trace:
                    file.seek(0)
                    file.truncate()
                    print(case, line, file=file)

            faulthandler.dump_traceback_later(60, exit=True)  # a call that hangs
            try:
                outcomes[one_case(np.random.default_rng([options.seed, case]), trace)] += 1
            except Exception as error:  # whatever it is, it is a failure
                print(f"case {case} (seed {options.seed}): {type(error).__name__}: {error}\n{last}", file=sys.stderr)
                outcomes["failed"] += 1
    faulthandler.cancel_dump_traceback_later()
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    return 1 if outcomes["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
