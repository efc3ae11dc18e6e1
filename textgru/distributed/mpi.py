"""Ranks over MPI, through mpi4py. Imported only where mpiexec has started several processes."""

from __future__ import annotations

import atexit
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import monotonic, sleep
from typing import Literal, TypeVar

import numpy as np
from mpi4py import MPI

from textgru.core import available_cpus, set_num_threads
from textgru.distributed.background import InBackground
from textgru.distributed.bfloat16 import Bfloat16
from textgru.distributed.ranks import RankError, Ranks
from textgru.errors import TextgruError

T = TypeVar("T")
Exchange = Callable[[np.ndarray, np.ndarray], None]  # sent, received
AT_A_TIME = 1 << 24  # bytes of a file that are sent at once
SHORTEST_PAUSE, LONGEST_PAUSE = 1e-4, 0.02  # seconds between two looks at whether all have come
BETWEEN_TESTS = 2e-4  # seconds: what comes in the meantime has room in the buffers of the network
PATIENCE = 3.0  # seconds that a rank which has ended waits for the others before it ends them


class MPIRanks(Ranks):
    """All processes that one mpiexec started."""

    def __init__(self, everyone: MPI.Intracomm) -> None:
        self._everyone = everyone
        self.rank, self.size = everyone.Get_rank(), everyone.Get_size()
        self._machine = of_this_machine(everyone)
        self.number, self.count = self._machine.Get_rank(), self._machine.Get_size()
        self.distant = self.count < self.size and MPI.Query_thread() >= MPI.THREAD_MULTIPLE
        self._told = self._ended = False
        self._halves = np.zeros((2, 0), np.uint16)  # what is sent and received in bfloat16
        self._bfloat16 = Bfloat16(0)
        self._adder: InBackground | None = None
        atexit.register(self._end)

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size} on {socket.gethostname()}"

    def set_threads(self) -> None:
        cpus = set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
        all_cpus = {cpu for others in self._machine.allgather(cpus) for cpu in others}
        shared = min(len(all_cpus), self._machine.allreduce(available_cpus(), MPI.MAX) if cpus == all_cpus else 1024)
        set_num_threads(max(1, min(available_cpus(), shared // self.count)))

    def meet(self) -> None:
        everyone, pause = self._everyone.Ibarrier(), SHORTEST_PAUSE
        while not everyone.Test():
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def told(self, value: T) -> T:
        self._told = True
        return self._everyone.bcast(value)  # type: ignore[no-any-return]

    def decide(self, do: Callable[[], T]) -> T:
        result, error = None, None
        if self.rank == 0:
            try:
                result = do()
            except TextgruError as raised:
                error = raised
        failed = (str(error), error.exit_code) if error is not None else None
        result, failed = self.told((result, failed))
        if error is not None:
            raise error
        if failed is not None:
            raise RankError(*failed)
        return result  # type: ignore[return-value]

    def add(self, numbers: Sequence[float]) -> list[float]:
        sums = np.array(numbers, np.float64)
        self._everyone.Allreduce(MPI.IN_PLACE, sums)
        return sums.tolist()  # type: ignore[no-any-return]

    def add_arrays(self, array: np.ndarray, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        if precision == "fp32":
            self._everyone.Allreduce(MPI.IN_PLACE, array)
        else:
            self._add_rounded(array, self._everyone.Alltoall, self._everyone.Allgather)

    def _add_rounded(self, array: np.ndarray, to_all: Exchange, from_all: Exchange) -> None:
        """Each rank adds up a part, in float32 and in the order of ranks: MPI can't add bfloat16."""
        n, part = len(array), -(-len(array) // self.size)
        if part * self.size > self._halves.shape[1]:
            self._halves, self._bfloat16 = np.zeros((2, part * self.size), np.uint16), Bfloat16(part * self.size)
        sent, received = self._halves[:, : part * self.size]
        self._bfloat16.round(array, sent[:n])
        to_all(sent, received)
        total = self._bfloat16.add_up(received.reshape(self.size, part))
        self._bfloat16.round(total, sent[:part])
        from_all(sent[:part], received)
        self._bfloat16.widen(received[:n], array)

    def begin_adding(self, array: np.ndarray, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        if self._adder is None:
            self._adder = InBackground(self._add_quietly)
        self._adder.begin(array, precision)

    def finish_adding(self) -> None:
        if self._adder is not None:
            self._adder.finish()

    def _add_quietly(self, array: np.ndarray, precision: Literal["fp32", "bf16"]) -> None:
        """As add_arrays, with pauses in place of MPI's busy waiting, which would take the time of a CPU."""
        everyone = self._everyone
        if precision == "fp32":
            _complete(everyone.Iallreduce(MPI.IN_PLACE, array))
        else:
            self._add_rounded(
                array,
                lambda sent, received: _complete(everyone.Ialltoall(sent, received)),
                lambda sent, received: _complete(everyone.Iallgather(sent, received)),
            )

    def gather(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        parts = self._everyone.gather(tuple(arrays))
        if parts is None:
            return tuple(arrays)
        return tuple(np.concatenate(pieces, axis=1) for pieces in zip(*parts, strict=True))

    def exchange(self, arrays: Sequence[np.ndarray]) -> None:
        for i, array in enumerate(arrays):
            self._machine.Bcast(array, i % self.count)

    def gather_all(self, value: T) -> list[T]:
        return self._everyone.allgather(value)

    def gather_first(self, value: T) -> list[T]:
        return self._everyone.gather(value) or []

    @contextmanager
    def file(self, path: Path) -> Iterator[Path]:
        first = self._machine.allreduce(self.rank, MPI.MIN)  # of this machine
        leaders = self._everyone.Split(MPI.UNDEFINED if self.rank != first else 0, self.rank)
        copy, problem = None, None
        if self.rank == first and first:
            try:
                copy = NamedTemporaryFile(prefix="textgru-")  # noqa: SIM115 (closed below)
            except OSError as error:
                problem = error
        if self.rank == first and leaders.Get_size() > 1:
            source = path.open("rb") if not self.rank else None
            size = leaders.bcast(path.stat().st_size if source else 0)
            for begin in range(0, size, AT_A_TIME):
                block = leaders.bcast(source and source.read(min(AT_A_TIME, size - begin)))
                try:
                    if copy is not None and problem is None:
                        copy.write(block)
                        copy.flush()
                except OSError as error:
                    problem = error
            if source:
                source.close()
        if leaders != MPI.COMM_NULL:
            leaders.Free()
        there = self._machine.bcast(copy and Path(copy.name)) if first else path
        try:
            if problem is not None:
                raise problem
            if there is None:
                raise OSError(f"{path}: there is no copy of it on this machine")
            yield there
        finally:
            if copy is not None:
                copy.close()

    def let_go(self, exit_code: int) -> None:
        if not self._told:
            self.told(exit_code)

    def all_ended(self) -> bool:
        if not self._ended:
            everyone, since = self._everyone.Ibarrier(), monotonic()
            while not everyone.Test() and monotonic() - since < PATIENCE:
                sleep(0.01)
            self._ended = bool(everyone.Test())
        return self._ended

    def _end(self) -> None:
        """At the exit: ends the ranks that still wait for this one."""
        if not (MPI.Is_finalized() or self.parted) and (self.abandoned or not self.all_ended()):
            MPI.COMM_WORLD.Abort(self.exit_code or 1)


def of_this_machine(everyone: MPI.Intracomm) -> MPI.Comm:
    """Those with which this rank shares memory."""
    return everyone.Split_type(MPI.COMM_TYPE_SHARED)


def _complete(request: MPI.Request) -> None:
    while not request.Test():
        sleep(BETWEEN_TESTS)


def over_mpi() -> Ranks:
    """The ranks that mpiexec started."""
    return Ranks() if MPI.COMM_WORLD.Get_size() == 1 else MPIRanks(MPI.COMM_WORLD)
