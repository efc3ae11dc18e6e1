"""What training on several machines would bring: a cost model, from the time that a step computes and from the network.

    python -m benchmarks.scale_model [--preset NAME ...] [--rate GBIT ...] [--delay MS] [--cores C]

Measures steps of each preset on one CPU, with as many rows as a machine would have, and prints how many times as fast 2
to 64 such machines would be. benchmarks/limited_network.py holds the model against trainings over a limited network.
`--cores C`: machines that compute C times as fast as this one CPU. (`--rows R --steps N`: only the seconds of each of N
steps of the first preset with R rows, as JSON.)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import ceil, log2
from statistics import median

import numpy as np

from benchmarks.common import print_table, timed
from textgru.core import set_num_threads
from textgru.distributed.ranks import Ranks
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.corpus import Corpus
from textgru.training.config import TrainingConfig
from textgru.training.defaults import resolve
from textgru.training.presets import PRESETS
from textgru.training.trainer import Trainer

MACHINES = (2, 4, 8, 16, 32, 64)
VOCABULARY = 65
MOST_ROWS = 100_000
BATCH_SIZE = TrainingConfig.batch_size
PAYLOAD = 1448 / 1514  # of a frame's bytes, as tc counts them, those that aren't headers of Ethernet, IP and TCP
COPYING = 1.1e-9  # seconds that a CPU takes to send a byte and receive another, about: no link is faster than this
ADDING = 0.2e-9  # seconds to add up a byte of gradients, about
HANDSHAKE = 3  # delays of a message that isn't short: its sender asks, is answered, and sends
SHORT = 65536  # bytes
ARRAYS = 4  # that come together every `sync_every` steps, in place of the gradients


@dataclass(frozen=True)
class Link:
    """What joins every machine to a switch: `rate` in bits a second in each direction, `delay` in seconds one way."""

    rate: float
    delay: float


def all_reduce_seconds(size: int, machines: int, link: Link) -> float:
    """To add up `size` bytes over the machines, in a ring (Thakur, Rabenseifner and Gropp 2005, "Optimization of
    collective communication operations in MPICH"; Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms").

    p machines pass p parts on, p - 1 times to be added to and p - 1 times added up: 2 (p - 1) messages one after the
    other, and (p - 1) / p of the bytes to be added: 2 (p - 1) alpha + 2 (p - 1) / p n beta + (p - 1) / p n gamma.
    """
    delays = HANDSHAKE if size / machines > SHORT else 1
    byte = max(8 / (PAYLOAD * link.rate), COPYING)
    part = (machines - 1) / machines * size
    return 2 * (machines - 1) * delays * link.delay + 2 * part * byte + part * ADDING


def step_seconds(
    compute: float, size: int, machines: int, link: Link, *, sync_every: int = 1, early: Sequence[int] = ()
) -> float:
    """A training step of `machines` that compute for `compute` seconds, and add up gradients of `size` bytes.

    `early`: bytes of the gradients of each layer but the first, in the order in which the backward pass completes them.
    They are added up beside the rest of it; copying them still takes the time of a CPU. The backward pass is two thirds
    of the work, and every layer's part is the same. What is left follows. With `sync_every` above 1 the weights and
    three more arrays of their size are added up every so many steps instead, beside nothing.

    Two short messages follow, each with a delay for every doubling: the losses are added up, and rank 0 tells what is
    to be done next.
    """
    if machines == 1:
        return compute
    last = 2 * doublings(machines) * link.delay
    if sync_every > 1:
        return compute + (ARRAYS * all_reduce_seconds(size, machines, link) + last) / sync_every
    layer = 2 / 3 * compute / (1 + len(early))
    now = compute - layer * len(early)  # the backward pass is through with the first layer that it comes to
    sent = now  # all that was begun
    for piece in early:
        sent = max(sent, now) + all_reduce_seconds(piece, machines, link)
        now += layer + (machines - 1) / machines * piece * (2 * COPYING + ADDING)
    return max(now, sent) + all_reduce_seconds(size - sum(early), machines, link) + last


def doublings(machines: int) -> int:
    return ceil(log2(machines))


class OneOfMany(Ranks):
    """The first of `size` ranks, with its share of the rows, whom the others don't keep waiting: there are none."""

    def __init__(self, size: int) -> None:
        self.size = size


def preset_network(preset: str) -> NetworkConfig:
    return NetworkConfig(VOCABULARY, **asdict(PRESETS[preset]))


def gradient_bytes(preset: str) -> int:
    return 4 * preset_network(preset).parameter_count()


def early_bytes(preset: str) -> list[int]:
    """Of the gradients that are added up while others are still computed; see step_seconds."""
    config = preset_network(preset)
    parameters = Network(config).parameters
    begins = [parameters.slices[f"{config.cell}.weight_ih_l{layer}"].start for layer in range(1, config.num_layers)]
    return [4 * (end - begin) for begin, end in pairwise([*begins, parameters.values.size])][::-1]


def trainer_of(preset: str, rows: int, batch_size: int) -> Trainer:
    """A rank's, which has `rows` of `batch_size` rows, on one thread."""
    set_num_threads(1)
    ids = np.random.default_rng(0).integers(0, VOCABULARY, 1_000_000).astype(np.uint8)
    settings = resolve(
        {}, {"max_steps": 10**6, "batch_size": batch_size}, preset=preset, train_tokens=10**9, vocab_size=VOCABULARY
    )
    network = Network(settings.network, precision=settings.training.precision, seed=1)
    return Trainer(
        network, Corpus(ids, ids[:0], len(ids), 0), settings.training, save=lambda event: None,
        rng=np.random.default_rng(0), ranks=OneOfMany(batch_size // rows),
    )  # fmt: skip


def each_step(trainer: Trainer, steps: int) -> list[float]:
    """The seconds of each of so many steps, after one that doesn't count."""
    trainer.train_step()
    return [timed(trainer.train_step) for _ in range(steps)]


def compute_seconds(preset: str, rows: int, rounds: int = 5, least: float = 0.6) -> float:
    """A step of a rank that has `rows` of BATCH_SIZE rows: the median of some rounds, each the mean of its steps."""
    trainer = trainer_of(preset, rows, BATCH_SIZE)
    steps = max(10, ceil(least / median(each_step(trainer, 3))))
    return median(sum(each_step(trainer, steps)) / steps for _ in range(rounds))


def speedups(
    own: dict[int, float], size: int, link: Link, *, grows: bool, sync_every: int = 1, early: Sequence[int] = ()
) -> list[float | None]:
    """How many times the tokens a second of one machine each number of machines has; None where there are too few rows.

    `own`: seconds that a step computes, by the rows of a machine. They are BATCH_SIZE on each if the batch `grows` with
    the machines, else they share so many.
    """
    found: list[float | None] = []
    for machines in MACHINES:
        rows = BATCH_SIZE if grows else BATCH_SIZE // machines
        times = rows * machines / BATCH_SIZE
        step = None
        if rows:
            step = step_seconds(own[rows], size, machines, link, sync_every=sync_every, early=early)
        found.append(own[BATCH_SIZE] * times / step if step else None)
    return found


def rows_needed(
    own: dict[int, float], size: int, link: Link, early: Sequence[int] = (), efficiency: float = 0.8
) -> int:
    """Rows a machine, from which on 64 machines are `efficiency` times 64 as fast as one with as many rows each, or
    MOST_ROWS."""
    row = (own[BATCH_SIZE] - own[BATCH_SIZE // 2]) / (BATCH_SIZE - BATCH_SIZE // 2)
    fixed = own[BATCH_SIZE] - row * BATCH_SIZE
    for rows in range(1, MOST_ROWS):
        compute = fixed + row * rows
        if compute >= efficiency * step_seconds(compute, size, MACHINES[-1], link, early=early):
            return rows
    return MOST_ROWS


def print_predictions(computes: dict[str, dict[int, float]], links: Sequence[Link]) -> None:
    sizes = {preset: gradient_bytes(preset) for preset in computes}
    kinds = [("shared", False, 1), ("each", True, 1), ("each, --sync-every 32", True, 32)]
    for link in links:
        print(f"\n{link.rate / 1e9:g} Gbit/s, {1e3 * link.delay:g} ms\n")
        rows = [["preset", f"{BATCH_SIZE} rows", *map(str, MACHINES), "rows for 80%"]]
        for preset, own in computes.items():
            layers = early_bytes(preset)
            for kind, grows, sync_every in kinds:
                found = speedups(own, sizes[preset], link, grows=grows, sync_every=sync_every, early=layers)
                needed = f"{rows_needed(own, sizes[preset], link, layers)}" if grows and sync_every == 1 else ""
                rows.append([preset, kind, *("-" if ratio is None else f"{ratio:.1f}" for ratio in found), needed])
        print_table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", nargs="+", choices=[*PRESETS], default=[*PRESETS])
    parser.add_argument("--rate", type=float, nargs="+", default=[1, 10], help="Gbit/s")
    parser.add_argument("--delay", type=float, default=0.1, help="milliseconds, one way")
    parser.add_argument("--cores", type=float, default=1)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    if options.rows:
        print(json.dumps(each_step(trainer_of(options.preset[0], options.rows, BATCH_SIZE), options.steps)))
        return
    shares = [BATCH_SIZE // machines for machines in (1, *MACHINES) if machines <= BATCH_SIZE]
    computes = {
        preset: {rows: compute_seconds(preset, rows) / options.cores for rows in shares} for preset in options.preset
    }
    table = [["preset", "parameters", "MB a step", *(f"{rows} rows" for rows in shares)]]
    for preset, own in computes.items():
        size = gradient_bytes(preset)
        seconds = [f"{1e3 * own[rows]:.1f}" for rows in shares]
        table.append([preset, f"{size // 4:,}", f"{size / 1e6:.2f}", *seconds])
    print("Milliseconds that a step computes, by the rows of a machine:\n")
    print_table(table)
    print_predictions(computes, [Link(1e9 * rate, options.delay / 1e3) for rate in options.rate])


if __name__ == "__main__":
    main()
