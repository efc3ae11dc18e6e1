"""What the benchmarks share: the configurations, the machine's BLAS rate, timing, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from textgru.core import get_num_threads, simd
from textgru.core._products import blas
from textgru.core.threads import wait_seconds

# vocabulary, embedding, hidden, layers, batch, steps
CONFIGURATIONS = [
    (65, 65, 128, 2, 50, 50),
    (65, 64, 256, 1, 100, 100),
    (65, 128, 256, 2, 64, 128),
    (65, 128, 512, 2, 64, 128),
    (96, 256, 1024, 1, 64, 128),
    (4096, 256, 512, 1, 32, 64),
]


def import_torch() -> Any:
    """PyTorch, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed (pip install torch): textgru alone is measured", file=sys.stderr)
        return None
    return torch


def parse_arguments(
    description: str | None, rounds: int, *, table: bool = True, cells: bool = False
) -> argparse.Namespace:
    """--rounds; for a `table` of the configurations --json, --only and --waits as well; for `cells` --cell."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="alternations of the sides (default: %(default)s)")
    if cells:
        parser.add_argument("--cell", choices=["gru", "lstm", "rnn"], default="gru", help="default: %(default)s")
    if not table:
        return parser.parse_args()
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--only", type=int, action="append", metavar="N", help="only row N (from 1); may be repeated")
    parser.add_argument(
        "--waits", type=float, nargs=2, metavar=("LEAST", "MOST"), default=(0.0, inf),
        help="count only rounds before and after which threads wait from LEAST to MOST nanoseconds for one another",
    )  # fmt: skip
    return parser.parse_args()


def chosen(only: Sequence[int] | None) -> list[tuple[int, ...]]:
    """The configurations that --only names, or all."""
    return [c for i, c in enumerate(CONFIGURATIONS, start=1) if not only or i in only]


def blas_gflops(size: int = 2048, repetitions: int = 5) -> float:
    """The rate of a large float32 product on all threads, in GFLOP/s: the best of some."""
    a, b = (np.random.default_rng(i).random((size, size), np.float32) for i in range(2))
    c = np.empty((size, size), np.float32)
    seconds = [timed(lambda: blas.multiply(a, b, c)) for _ in range(repetitions)]
    return 2 * size**3 / min(seconds) / 1e9


def timed(function: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    begin = perf_counter()
    function()
    return perf_counter() - begin


def alternate(
    sides: Mapping[str, Callable[[], object]], rounds: int, waits: Sequence[float] = (0.0, inf)
) -> dict[str, list[float]]:
    """Seconds of each call of each side, the sides in turn, after one of each that doesn't count.

    Before each call comes another one of the same side that doesn't count: until then the caches have the last side's
    data, and its threads may still be spinning for more work. "wait" are the seconds that threads take to wait for one
    another, in each round: a virtual machine's CPUs may be on one chiplet now and on two in a minute, and then all
    that several threads do takes longer. Rounds that don't begin and end with a wait between `waits`, in nanoseconds,
    don't count; ends with SystemExit where ten times as many as wanted are not enough.
    """

    def fits(wait: float) -> bool:
        return waits[0] <= 1e9 * wait <= waits[1]

    seconds: dict[str, list[float]] = {name: [] for name in (*sides, "wait")}
    for side in sides.values():
        side()
    for _ in range(10 * rounds):
        wait = wait_seconds()
        if not fits(wait):
            sleep(1)
            continue
        took = {}
        for name, side in sides.items():
            side()
            took[name] = timed(side)
        if not fits(wait_seconds()):
            continue
        for name, value in (*took.items(), ("wait", wait)):
            seconds[name].append(value)
        if len(seconds["wait"]) == rounds:
            return seconds
    raise SystemExit(f"--waits: only {len(seconds['wait'])} of {rounds} rounds in {10 * rounds} had such a wait")


def rates(seconds: Sequence[float], tokens: int) -> dict[str, float]:
    """Tokens a second: median, least, most."""
    return {
        "median": tokens / statistics.median(seconds),
        "min": tokens / max(seconds),
        "max": tokens / min(seconds),
    }


def waits(seconds: Sequence[float]) -> dict[str, float]:
    """Nanoseconds that threads take to wait for one another: median, least, most."""
    return {"median": 1e9 * statistics.median(seconds), "min": 1e9 * min(seconds), "max": 1e9 * max(seconds)}


def written(rate: dict[str, float] | None) -> str:
    """A rate for a table."""
    if rate is None:
        return "-"
    return f"{rate['median']:,.0f} ({rate['min']:,.0f}-{rate['max']:,.0f})"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "cpu": model,
        "threads": get_num_threads(),
        "instruction_set": simd.instruction_set(),
        "blas": blas.blas_version(),
        "python": platform.python_version(),
        "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE"),
    }


def print_machine(gflops: float) -> None:
    """The machine, its BLAS rate, and how far its CPUs are from one another, above a table."""
    facts = machine()
    print(
        f"{facts['cpu']}, {facts['threads']} threads, {facts['instruction_set']} kernels, {facts['blas']}; "
        f"large sgemm {gflops:.0f} GFLOP/s, threads wait {1e9 * wait_seconds():.0f} ns for one another"
    )


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Rows of equal length, the first a heading, as a Markdown table."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
        if number == 0:
            print("| " + " | ".join("-" * width for width in widths) + " |")


def write_json(file: str | None, gflops: float, rows: list[dict[str, Any]]) -> None:
    """The figures, where --json asks for them."""
    if file:
        report = {"machine": machine(), "blas_gflops": gflops, "rows": rows}
        Path(file).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
