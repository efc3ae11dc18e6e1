"""The lengths of the rows of a batch, checked."""

from __future__ import annotations

import numpy as np


def check_lengths(lengths: object, batch: int, steps: int) -> np.ndarray | None:
    """`lengths` as an intp array (B,) of its own; raises TypeError unless they are integers, ValueError unless there
    is one for each row of the batch, from 1 to the number of steps."""
    if lengths is None:
        return None
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu":
        raise TypeError(f"lengths: expected integers, got {array.dtype}")
    if array.shape != (batch,):
        raise ValueError(f"lengths: expected one for each of the {batch} rows of the batch, got shape {array.shape}")
    if array.min() < 1 or array.max() > steps:
        wrong = array.min() if array.min() < 1 else array.max()
        raise ValueError(f"lengths: expected numbers from 1 to the {steps} steps, got {wrong}")
    return array.astype(np.intp)
