"""The processes (ranks, as MPI calls them) that share a work. Alone, everything here does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from textgru.errors import TextgruError

T = TypeVar("T")


class RankError(TextgruError):
    """What another rank raised, and tells."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Ranks:
    """One process alone, and what all of them do together. Rank 0 decides, prints and writes; the others follow.

    All ranks have to call the same methods in the same order, but for `share`.
    """

    rank, size = 0, 1
    number, count = 0, 1  # of this one among the ranks of its machine, and how many these are
    distant = False  # whether some are on other machines, and `begin_adding` goes on beside computing
    exit_code = 0  # to end the others with, where they don't end by themselves
    parted = False  # whether all have been told that it is over: each ends by itself
    abandoned = False  # whether this one has left what all do together: then nothing waits for the others

    def set_threads(self) -> None:
        """Shares the CPUs of each machine among the ranks on it; those that are bound to CPUs use these."""

    def let_go(self, exit_code: int) -> None:
        """On rank 0, at its end: the others end with it, if they have been told nothing yet."""

    def all_ended(self) -> bool:
        """Waits a little for all ranks to come to their end; whether they have."""
        return True

    def meet(self) -> None:
        """Waits for all ranks, without a CPU's time."""

    def share(self, rows: int) -> slice:
        """Those of `rows` rows that are this rank's: contiguous, and as many as any other's, or one more."""
        least, more = divmod(rows, self.size)
        first = self.rank * least + min(self.rank, more)
        return slice(first, first + least + (self.rank < more))

    def told(self, value: T) -> T:
        """What rank 0 says."""
        return value

    def decide(self, do: Callable[[], T]) -> T:
        """What `do` returns on rank 0, where alone it is called. Raises on all what it raises there."""
        return do()

    def add(self, numbers: Sequence[float]) -> list[float]:
        """Their sums over all ranks."""
        return list(numbers)

    def add_arrays(self, array: np.ndarray, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        """array (n,) = its sum over all ranks, the same bits on all. With "bf16" float32 numbers are rounded to
        bfloat16 before they are sent: half the bytes."""

    def exchange(self, arrays: Sequence[np.ndarray]) -> None:
        """Gives array i, in place, what it holds on this machine's rank i % count. Nothing crosses the network."""

    def begin_adding(self, array: np.ndarray, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        """As add_arrays, but goes on beside what this process computes, until `finish_adding`. Until then `array` is
        nobody's, and nothing else is done together but to begin with more."""
        self.add_arrays(array, precision)

    def finish_adding(self) -> None:
        """Waits for all that was begun."""

    def gather_all(self, value: T) -> list[T]:
        """What each rank says, on all of them."""
        return [value]

    def gather_first(self, value: T) -> list[T]:
        """What each rank says, on rank 0; nothing on the others."""
        return [value]

    @contextmanager
    def file(self, path: Path) -> Iterator[Path]:
        """Where a file of rank 0 can be read: on other machines one copy, for their ranks, which goes afterwards.

        Raises OSError on a rank that can't read or write it.
        """
        yield path

    def gather(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """For arrays (L, b, H) of each rank's share of the rows, those (L, B, H) of all on rank 0; on the others
        their own."""
        return tuple(arrays)
