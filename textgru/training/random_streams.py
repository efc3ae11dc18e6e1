"""The random numbers of a training: a stream for each use, so that one more draw for one leaves the others as they are.

Samples that are shown while it runs have a seed of their own, too: textgru.training.running.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Use = Literal["initial weights", "batches", "dropout", "rehearsal"]


def stream(seed: int, use: Use) -> np.random.Generator:
    """The stream of this use: NumPy's PCG64, spawned from the seed with the bytes of the name as its key."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=tuple(use.encode()))))
