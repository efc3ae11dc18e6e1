"""Trainings over a network of limited rate and delay, beside what benchmarks/scale_model.py says of them.

    python -m benchmarks.limited_network [training] [--preset large] [--links 1 1:0.1 1:1 10] [--steps N] [--rounds R]
    python -m benchmarks.limited_network sums [--links 0.1] [--machines 2 4 8]

Each rank of `mpiexec` is in a network namespace of its own (Linux, as root), on a CPU of its own, with one thread. A
link is Gbit/s, or Gbit/s:milliseconds one way. tc's token bucket limits the rate of what each namespace sends; frames
go through benchmarks/delay_line.c, which takes processor time: faster links are a plain pair of devices, with no delay.

`training`: the steps of `textgru train` by two ranks. The prediction comes from the link's figures, and from what a
rank computes by itself while another does the same beside it. `sums`: only adding up gradients, by any number of ranks.
`--no-overlap`: gradients are added up after the backward pass. `--plain`: without the settings of Open MPI that
docs/several_machines.md gives for TCP. `--first`: before all other work of the machine, which would be measured too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from statistics import median

from benchmarks.common import print_table
from benchmarks.scale_model import (
    BATCH_SIZE,
    Link,
    all_reduce_seconds,
    early_bytes,
    gradient_bytes,
    step_seconds,
)
from textgru.training.presets import PRESETS

TEXT = Path(__file__).parents[1] / "corpora" / "ostrey.txt"
DELAY_LINE = Path(__file__).with_name("delay_line.c")
SWITCH, CONTROL = "tgswitch", "tgcontrol"  # bridges: among the limited links, and over which mpiexec starts the ranks
MOST_FORWARDED = (
    2e9  # bits a second that the delay line forwards in each direction without being the limit, on two CPUs
)
BURST = "256kb"  # what may be sent at once
BUFFERS = "4096 131072 33554432"  # bytes a TCP connection may have under way, as large networks are set up
# Two connections between two ranks: with one, what a rank answers can wait behind what it sends, and they send in turn.
# And a ring: what Open MPI takes by itself for large messages, halving and doubling, does that with two as well.
SETTINGS = "--mca btl_tcp_links 2 --mca coll_tuned_use_dynamic_rules 1 --mca coll_tuned_allreduce_algorithm 4".split()
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
PLACES = {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "PMIX_MCA_ptl_base_if_include": CONTROL}


def call(command: str) -> None:
    subprocess.run(command.split(), check=True)


def namespace(rank: int) -> str:
    return f"textgru-{rank}"


@contextmanager
def bridge(name: str) -> Iterator[None]:
    call(f"ip link add {name} type bridge")
    try:
        call(f"ip link set {name} up")
        yield
    finally:
        call(f"ip link del {name}")


@contextmanager
def namespaces(count: int) -> Iterator[None]:
    """So many, which mpiexec reaches over a bridge of their own."""
    with ExitStack() as stack:
        stack.enter_context(bridge(CONTROL))
        call(f"ip addr add 10.78.0.254/24 dev {CONTROL}")
        for rank in range(count):
            name = namespace(rank)
            call(f"ip netns add {name}")
            stack.callback(call, f"ip netns del {name}")
            call(f"ip -n {name} link set lo up")
            call(f"ip link add {CONTROL}{rank} master {CONTROL} type veth peer name control netns {name}")
            stack.callback(call, f"ip link del {CONTROL}{rank}")  # at once; a namespace takes its time to go
            call(f"ip link set {CONTROL}{rank} up")
            call(f"ip -n {name} addr add 10.78.0.{rank + 1}/24 dev control")
            call(f"ip -n {name} link set control up")
        yield


@contextmanager
def delay_line(delay: float, folder: Path) -> Iterator[None]:
    """The devices pace0 and pace1, each of which gets `delay` seconds later what goes into the other."""
    program = folder / "delay_line"
    if not program.exists():
        call(f"cc -O2 {DELAY_LINE} -o {program}")
    # Before the ranks, who never sleep while they wait for a message.
    command = ["chrt", "--fifo", "50", str(program), "pace0", "pace1", str(round(1e6 * delay))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as line:
        assert line.stdout is not None
        line.stdout.readline()
        yield
        line.terminate()


@contextmanager
def limited(count: int, link: Link, folder: Path) -> Iterator[None]:
    """The device `limited` in each of so many namespaces, as `link` says."""
    names = [namespace(rank) for rank in range(count)]
    with ExitStack() as stack:
        stack.enter_context(namespaces(count))
        if count > 2:
            stack.enter_context(bridge(SWITCH))
            for rank, name in enumerate(names):
                call(f"ip link add {SWITCH}{rank} master {SWITCH} type veth peer name limited netns {name}")
                call(f"ip link set {SWITCH}{rank} up")
        elif link.delay or link.rate <= MOST_FORWARDED:
            stack.enter_context(delay_line(link.delay, folder))
            for rank, name in enumerate(names):
                call(f"ip link set pace{rank} netns {name} name limited")
                call(f"ip -n {name} link set limited txqueuelen 4000")
        else:
            call(f"ip link add limited netns {names[0]} type veth peer name limited netns {names[1]}")
        for rank, name in enumerate(names):
            call(f"ip -n {name} addr add 10.77.1.{rank + 1}/24 dev limited")
            call(f"ip -n {name} link set limited up")
            for kind in ("rmem", "wmem"):
                setting = f"net.ipv4.tcp_{kind}={BUFFERS}"
                subprocess.run(["ip", "netns", "exec", name, "sysctl", "-q", "-w", setting], check=True)
            rate = f"{round(link.rate)}bit"
            call(f"tc -n {name} qdisc add dev limited root tbf rate {rate} burst {BURST} limit 16mb")
        yield


@contextmanager
def first() -> Iterator[None]:
    """Before all other work of the machine goes what this process starts; and before that, the kernel's work for the
    network, which waits else for ranks that never sleep."""
    with suppress(PermissionError):  # the shell has made it
        os.setsid()  # a scheduling group of its own, whose weight follows
    Path("/proc/self/autogroup").write_text("-20")
    os.nice(-20)
    kernel = [int(file.parent.name) for file in Path("/proc").glob("[0-9]*/comm") if "ksoftirqd" in file.read_text()]
    try:
        for process in kernel:
            os.sched_setscheduler(process, os.SCHED_FIFO, os.sched_param(60))
        yield
    finally:
        for process in kernel:
            os.sched_setscheduler(process, os.SCHED_OTHER, os.sched_param(0))


def pinned(rank: int) -> list[str]:
    cpus = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cpus[rank % len(cpus)])]


def over_mpi(count: int, command: Sequence[str], how: Sequence[str]) -> str:
    """What the ranks print of a Python command."""
    mpiexec = shutil.which("mpiexec") or str(Path(sys.executable).parent / "mpiexec")
    full = [mpiexec, "--bind-to", "none", "--mca", "pml", "ob1", "--mca", "btl", "tcp,self"]
    full += ["--mca", "btl_tcp_if_include", "limited", *how]
    for rank in range(count):
        full += [":"] * (rank > 0) + ["-n", "1", *pinned(rank), "ip", "netns", "exec", namespace(rank)]
        full += [sys.executable, "-m", "mpi4py", *command]  # an error in one ends all
    environment = {**os.environ, **AS_ROOT, **PLACES}
    done = subprocess.run(
        full, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment, timeout=600
    )
    return done.stdout


def measured_link(count: int, preset: str, how: Sequence[str]) -> dict[str, float]:
    command = ["-m", "benchmarks.link_speed", "--preset", preset, "--json"]
    found: dict[str, float] = json.loads(over_mpi(count, command, how))
    return found


def measured_steps(
    preset: str, steps: int, folder: Path, how: Sequence[str], precision: str, *, overlap: bool
) -> list[float]:
    """Seconds of a training step over the limited network, each the mean of ten."""
    run = folder / "run"
    # By themselves the ranks are of one machine, as its name is the same in all namespaces, and overlap nothing.
    command = ["-m", "benchmarks.as_machines" if overlap else "textgru", "train", str(TEXT)]
    command += ["--out", str(run), "--overwrite", "--preset", preset]
    command += ["--max-steps", str(steps), "--eval-every", str(steps), "--checkpoint-every", str(steps)]
    command += ["--dropout", "0", "--reduce-precision", precision]
    over_mpi(2, command, how)
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    # Seconds spent in training steps until then.
    until = [event["tokens_seen"] / event["tokens_per_second"] for event in events if event["event"] == "step"]
    return [(until[i] - until[i - 1]) / 10 for i in range(1, len(until))]


def computed(preset: str, steps: int) -> float:
    """Seconds that a step takes with half of the rows: each as long as the slower of two that run beside each other."""
    command = [sys.executable, "-m", "benchmarks.scale_model", "--preset", preset, "--rows", str(BATCH_SIZE // 2)]
    command += ["--steps", str(steps)]
    both = [subprocess.Popen([*pinned(rank), *command], stdout=subprocess.PIPE) for rank in range(2)]
    found = [json.loads(process.communicate()[0]) for process in both]
    slower = [max(pair) for pair in zip(*found, strict=True)]
    return float(median(sum(slower[i : i + 10]) / 10 for i in range(0, steps - 9, 10)))


def training(
    preset: str, links: Sequence[Link], steps: int, rounds: int, how: Sequence[str], precision: str, *, overlap: bool
) -> None:
    size = gradient_bytes(preset)
    of = 2 if precision == "bf16" else 1
    early = [piece // of for piece in early_bytes(preset)] if overlap else []
    own: list[float] = []
    found: dict[Link, list[float]] = {link: [] for link in links}
    speeds: dict[Link, list[dict[str, float]]] = {link: [] for link in links}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            own.append(computed(preset, steps))
            for link in links:
                with limited(2, link, Path(folder)):
                    speeds[link].append(measured_link(2, preset, how))
                    found[link].append(
                        median(measured_steps(preset, steps, Path(folder), how, precision, overlap=overlap))
                    )
    compute = median(own)
    print(f"{preset}: {size / 1e6:.2f} MB a step; a rank computes for {milliseconds(own)} ms\n")
    rows = [["Gbit/s", "ms", "rate found", "delay found", "all-reduce", "model", "", "step", "model", ""]]
    for link in links:
        rate, delay, summed = ([speed[name] for speed in speeds[link]] for name in ("rate", "delay", "all_reduce"))
        model, step = all_reduce_seconds(size, 2, link), step_seconds(compute, size // of, 2, link, early=early)
        rows.append([
            f"{link.rate / 1e9:g}", f"{1e3 * link.delay:g}", f"{median(rate) / 1e9:.2f}", f"{1e3 * median(delay):.2f}",
            milliseconds(summed), f"{1e3 * model:.1f}", difference(model, summed),
            milliseconds(found[link]), f"{1e3 * step:.1f}", difference(step, found[link]),
        ])  # fmt: skip
    print_table(rows)


def sums(preset: str, links: Sequence[Link], counts: Sequence[int], rounds: int, how: Sequence[str]) -> None:
    size = gradient_bytes(preset)
    rows = [["Gbit/s", "machines", "all-reduce, ms", "model", ""]]
    with tempfile.TemporaryDirectory() as folder:
        for link in links:
            for count in counts:
                with limited(count, link, Path(folder)):
                    found = [measured_link(count, preset, how)["all_reduce"] for _ in range(rounds)]
                model = all_reduce_seconds(size, count, link)
                cells = [milliseconds(found), f"{1e3 * model:.1f}", difference(model, found)]
                rows.append([f"{link.rate / 1e9:g}", str(count), *cells])
    print_table(rows)


def milliseconds(seconds: Sequence[float]) -> str:
    """The median, the least and the most."""
    middle, least, most = (f"{1e3 * value:.1f}" for value in (median(seconds), min(seconds), max(seconds)))
    return f"{middle} ({least}-{most})"


def difference(model: float, found: Sequence[float]) -> str:
    return f"{100 * (model / median(found) - 1):+.0f}%"


def link_of(text: str) -> Link:
    rate, _, delay = text.partition(":")
    return Link(1e9 * float(rate), float(delay or 0) / 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["training", "sums"], default="training")
    parser.add_argument("--preset", choices=[*PRESETS], default="large")
    parser.add_argument("--links", type=link_of, nargs="+", metavar="GBIT[:MS]")
    parser.add_argument("--machines", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reduce-precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--no-overlap", action="store_true")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--first", action="store_true")
    options = parser.parse_args()
    how = [] if options.plain else SETTINGS
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was made goes
    with first() if options.first else nullcontext():
        if options.what == "sums":
            links = options.links or [link_of("0.1")]
            sums(options.preset, links, options.machines, options.rounds, how)
        else:
            links = options.links or [link_of(text) for text in ("1", "1:0.1", "1:1", "10")]
            training(
                options.preset, links, options.steps, options.rounds, how, options.reduce_precision,
                overlap=not options.no_overlap,
            )  # fmt: skip


if __name__ == "__main__":
    main()
