"""The network between machines, for benchmarks/scale_model.py: its rate and delay, and how long gradients take.

    mpiexec -n 2 --hostfile hosts --map-by node python -m benchmarks.link_speed [--preset NAME] [--json]

Between the first two ranks messages go to and fro; then all ranks add up the gradients of a preset. Medians.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from time import perf_counter

import numpy as np
from mpi4py import MPI

from benchmarks.scale_model import PAYLOAD, Link, all_reduce_seconds, gradient_bytes
from textgru.training.presets import PRESETS


def seconds(call: Callable[[], object], times: int) -> float:
    """The median of the calls, all ranks beginning together; of the slowest rank."""
    taken = np.empty(times)
    for i in range(times):
        MPI.COMM_WORLD.Barrier()
        begin = perf_counter()
        call()
        taken[i] = perf_counter() - begin
    MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, taken, MPI.MAX)
    return float(np.median(taken))


def one_way(size: int, times: int) -> float:
    """Seconds until a message of so many bytes has come."""
    world, message = MPI.COMM_WORLD, np.zeros(size, np.uint8)

    def to_and_fro() -> None:
        if world.rank == 0:
            world.Send(message, 1)
            world.Recv(message, 1)
        elif world.rank == 1:
            world.Recv(message, 0)
            world.Send(message, 0)

    return seconds(to_and_fro, times) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=[*PRESETS], default="large")
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="bits a second, and seconds")
    options = parser.parse_args()
    size, machines = gradient_bytes(options.preset), MPI.COMM_WORLD.size
    gradients = np.zeros(size // 4, np.float32)
    small, large, twice = (one_way(length, options.times) for length in (8, size, 2 * size))
    rate = size * 8 / (twice - large)
    took = seconds(lambda: MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, gradients), options.times)
    if MPI.COMM_WORLD.rank:
        return
    if options.json:
        print(json.dumps({"rate": rate, "delay": small, "all_reduce": took}))
        return
    model = all_reduce_seconds(size, machines, Link(rate / PAYLOAD, small))
    print(f"{rate / 1e9:.2f} Gbit/s, {1e3 * small:.3f} ms for 8 bytes")
    print(
        f"{size / 1e6:.1f} MB added up over {machines} ranks: {1e3 * took:.1f} ms ({1e3 * model:.1f} ms by the model)"
    )


if __name__ == "__main__":
    main()
