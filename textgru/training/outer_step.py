"""Where ranks make many steps each by itself: how they come together again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textgru.distributed.ranks import Ranks

# 0.7 and 0.9 in the paper, whose ranks make 500 steps by themselves; with 8 to 128, these measured better.
LEARNING_RATE, MOMENTUM = 1.0, 0.5


class OuterStep:
    """DiLoCo's outer step (Douillard et al. 2023, arXiv:2311.08105, algorithm 1).

    After some steps of their own, the ranks' weights w are averaged. Where that mean went from the weights `values`
    (n,) that all began with is taken as a gradient d = values - mean(w), for SGD with Nesterov's momentum:
    momentum = MOMENTUM momentum + d, values -= LEARNING_RATE (MOMENTUM momentum + d).
    """

    def __init__(self, weights: np.ndarray) -> None:
        self.values = weights.copy()
        self.momentum = np.zeros_like(weights)

    def step(self, ranks: Ranks, weights: np.ndarray, others: Sequence[np.ndarray]) -> None:
        """Brings `weights` (n,) to the same values on all ranks, by the step above, and each of `others` (the
        optimizer's state, averages) to its mean."""
        for array in (weights, *others):
            ranks.add_arrays(array)
            array *= 1 / ranks.size
        moved = self.values - weights
        self.momentum *= MOMENTUM
        self.momentum += moved
        moved += MOMENTUM * self.momentum
        moved *= LEARNING_RATE
        self.values -= moved
        weights[...] = self.values
