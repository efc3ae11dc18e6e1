"""A recurrent stack alone, through the public face of textgru.core: forward and backward with the input's gradient.

    python -m benchmarks.recurrent_face [--lengths] [--cell gru|lstm|rnn] [--rounds N] [--only ROW] [--json FILE]
                                        [--waits LEAST MOST]

Useful GFLOP/s in the configurations of benchmarks.train_speed, in turn, medians; beside PyTorch where it is installed,
and beside oneDNN's own GRU where a C++ compiler finds it (libdnnl-dev): its weights are laid out once, before all.
"kernels" is a product of textgru's packed kernels, 2,048 x 512 with 512 x 1,536, laying out included: what could be
reached. With --lengths rows have lengths, uniform from 1 to T: real tokens a second, as a ratio to those of
the padded batch, which computes all T steps.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    alternate,
    blas_gflops,
    chosen,
    import_torch,
    parse_arguments,
    print_machine,
    print_table,
    rates,
    waits,
    write_json,
    written,
)
from textgru.core import GRU, LSTM, RNN
from textgru.core._products.products import Products

CELLS: dict[str, Any] = {"gru": GRU, "lstm": LSTM, "rnn": RNN}
GATES = {"gru": 3, "lstm": 4, "rnn": 1}
PRODUCT = (2048, 512, 1536)
ROUNDS_OF_PRODUCT = 20
SOURCE = Path(__file__).with_name("onednn_gru.cpp")


def useful_operations(cell: str, configuration: tuple[int, ...]) -> int:
    """Every product once forward and twice backward, a multiply-add being two."""
    _, inputs, hidden, layers, batch, steps = configuration
    weights = GATES[cell] * hidden * (inputs + hidden + (layers - 1) * 2 * hidden)
    return 6 * weights * batch * steps


def ours(cell: str, configuration: tuple[int, ...], precision: str, lengths: Any = None) -> Callable[[], object]:
    _, inputs, hidden, layers, batch, steps = configuration
    stack = CELLS[cell](inputs, hidden, layers, precision=precision, seed=1)
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((steps, batch, n)).astype(np.float32) for n in (inputs, hidden))

    def both() -> None:
        stack.forward(x, lengths=lengths)
        stack.backward(dy)

    return both


def pytorch(torch: Any, cell: str, configuration: tuple[int, ...], *, half: bool) -> Callable[[], object]:
    _, inputs, hidden, layers, batch, steps = configuration
    stack = getattr(torch.nn, cell.upper())(inputs, hidden, layers)
    x = torch.randn(steps, batch, inputs, requires_grad=True)
    dy = torch.randn(steps, batch, hidden)

    def both() -> None:
        stack.zero_grad()
        x.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y, _ = stack(x)
        y.backward(dy.to(y.dtype))

    return both


def product(precision: str) -> Callable[[], object]:
    """Of the packed kernels, ROUNDS_OF_PRODUCT times."""
    rows, inner, columns = PRODUCT
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((rows, inner), (columns, inner)))
    y, products = np.empty((rows, columns), np.float32), Products(precision)

    def run() -> None:
        for _ in range(ROUNDS_OF_PRODUCT):
            products.multiply(x, w.T, y)

    return run


@contextmanager
def onednn(
    configuration: tuple[int, ...], precision: str, program: Path | None
) -> Iterator[Callable[[], object] | None]:
    """A pass of oneDNN's, in a process of its own."""
    if program is None:
        yield None
        return
    numbers = map(str, configuration[1:])
    with subprocess.Popen(
        [program, precision, *numbers], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ask, answer = process.stdin, process.stdout

        def one() -> None:
            ask.write("\n")
            ask.flush()
            answer.readline()

        yield one
        ask.close()


def build_onednn(folder: Path) -> Path | None:
    """The program, or None where it can't be built."""
    compiler, program = shutil.which("c++"), folder / "onednn_gru"
    if compiler is not None:
        built = subprocess.run(
            [compiler, "-O2", "-fopenmp", SOURCE, "-ldnnl", "-o", program], capture_output=True, check=False
        )
        if built.returncode == 0:
            return program
    print("oneDNN is not installed (libdnnl-dev), or there is no C++ compiler: it is left out", file=sys.stderr)
    return None


def measure(
    cell: str, configuration: tuple[int, ...], torch: Any, program: Path | None, arguments: Any
) -> dict[str, Any]:
    sides: dict[str, Callable[[], object]] = {}
    with onednn(configuration, "fp32", program) as whole, onednn(configuration, "bf16", program) as half:
        for precision, theirs in (("fp32", whole), ("bf16", half)):
            sides[precision] = ours(cell, configuration, precision)
            sides[f"kernels_{precision}"] = product(precision)
            if torch is not None:
                sides[f"pytorch_{precision}"] = pytorch(torch, cell, configuration, half=precision == "bf16")
            if theirs is not None:
                sides[f"onednn_{precision}"] = theirs
        seconds = alternate(sides, arguments.rounds, arguments.waits)
    row: dict[str, Any] = {"configuration": list(configuration), "cell": cell, "wait_ns": waits(seconds.pop("wait"))}
    operations = useful_operations(cell, configuration)
    of_product = 2 * PRODUCT[0] * PRODUCT[1] * PRODUCT[2] * ROUNDS_OF_PRODUCT
    for name, taken in seconds.items():
        row[name] = rates(taken, of_product if name.startswith("kernels") else operations)["median"] / 1e9
    return row


def measure_lengths(cell: str, configuration: tuple[int, ...], arguments: Any) -> dict[str, Any]:
    """Real tokens a second with lengths, as a ratio to those of the padded batch."""
    batch, steps = configuration[4:]
    lengths = np.random.default_rng(3).integers(1, steps + 1, batch)
    sides = {}
    for precision in ("fp32", "bf16"):
        sides[precision] = ours(cell, configuration, precision, lengths)
        sides[f"padded_{precision}"] = ours(cell, configuration, precision)
    seconds = alternate(sides, arguments.rounds, arguments.waits)
    row: dict[str, Any] = {"configuration": list(configuration), "cell": cell, "wait_ns": waits(seconds.pop("wait"))}
    row |= {name: rates(taken, int(lengths.sum()))["median"] for name, taken in seconds.items()}
    return row


def main() -> None:
    with_lengths = "--lengths" in sys.argv
    if with_lengths:
        sys.argv.remove("--lengths")
    arguments = parse_arguments(__doc__, rounds=9, cells=True)
    cell = arguments.cell
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if with_lengths:
            rows = [measure_lengths(cell, c, arguments) for c in chosen(arguments.only)]
        else:
            torch = import_torch()
            program = build_onednn(Path(folder)) if cell == "gru" else None
            rows = [measure(cell, c, torch, program, arguments) for c in chosen(arguments.only)]
    gflops = blas_gflops()
    print_machine(gflops)
    if with_lengths:
        table = [["I, H, L, B, T", "fp32, real tokens/s", "ratio to padded", "bf16, real tokens/s", "ratio to padded",
                  "wait, ns"]]  # fmt: skip
        for row in rows:
            figures = []
            for precision in ("fp32", "bf16"):
                figures += [f"{row[precision]:,.0f}", f"{row[precision] / row[f'padded_{precision}']:.2f}"]
            table.append([", ".join(map(str, row["configuration"][1:])), *figures, written(row["wait_ns"])])
    else:
        names = ["", "kernels_", "pytorch_", "onednn_"]
        columns = [f"{name}{precision}" for precision in ("fp32", "bf16") for name in names]
        heads = [name.replace("_", " ") if "_" in name else f"{cell.upper()} {name}" for name in columns]
        table = [["I, H, L, B, T", *heads, "share of kernels: fp32", "bf16", "wait, ns"]]
        for row in rows:
            shares = [f"{row[p] / row[f'kernels_{p}']:.0%}" for p in ("fp32", "bf16")]
            figures = [f"{row[name]:.0f}" if name in row else "-" for name in columns]
            table.append([", ".join(map(str, row["configuration"][1:])), *figures, *shares, written(row["wait_ns"])])
    print_table(table)
    write_json(arguments.json, gflops, rows)


if __name__ == "__main__":
    main()
