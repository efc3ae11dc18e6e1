"""Adding up the gradients of all ranks, those of upper layers while the lower ones are still computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from textgru.distributed.ranks import Ranks


class GradientSum:
    """Of gradients (n,), which become complete from their end on. Call `ready` with where what is complete begins, as
    often as there is something to do meanwhile; then `finish`. `ready` is None between the ranks of one machine, where
    adding up takes a CPU's time from computing."""

    def __init__(self, ranks: Ranks, gradients: np.ndarray, precision: Literal["fp32", "bf16"]) -> None:
        self._ranks, self._gradients, self._precision = ranks, gradients, precision
        self._end = len(gradients)  # of what wasn't begun
        self.ready: Callable[[int], None] | None = self._begin if ranks.distant else None

    def _begin(self, first: int) -> None:
        self._ranks.begin_adding(self._gradients[first : self._end], self._precision)
        self._end = first

    def finish(self) -> None:
        """Makes the gradients the sums of all ranks, the same bits on all."""
        if self._end == len(self._gradients):
            self._ranks.add_arrays(self._gradients, self._precision)
            return
        self._begin(0)
        self._ranks.finish_adding()
        self._end = len(self._gradients)
