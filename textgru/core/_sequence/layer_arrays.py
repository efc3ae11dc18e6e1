"""What a pass of a layer over a sequence reads and writes.

T steps, B rows of a batch, N = T B rows in a RowOrder, H units; the cell has G gates, keeps K blocks, its state has S
arrays, of which the first is h.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textgru.core._sequence.row_order import RowOrder
from textgru.core._support.cell import Cell


@dataclass(slots=True)
class LayerForward:
    """`x` (N, G H) is W_ih x + b_ih, or (V, G H) with `index` (N,) into it; `w_hh` (G H, H), `b_hh` (G H,).

    Out: `states`, S arrays (N + B, H) that hold the states before the first step; `kept` (N, K H), or (B, K H) where
    nothing is kept for a backward pass.
    """

    cell: Cell
    order: RowOrder
    x: np.ndarray
    index: np.ndarray | None
    w_hh: np.ndarray
    b_hh: np.ndarray
    states: tuple[np.ndarray, ...]
    kept: np.ndarray
    reset_before: bool


@dataclass(slots=True)
class LayerBackward:
    """`dy` (N, H); `states` and `w_hh` as in the forward pass. `kept` (N, K H) becomes gradients: see Cell.

    In and out: `d_states`, S arrays (B, H), the gradients of the last states, then of the first ones. Out:
    `sums` (K H,), from `sums_from` on, of those gradients; and where there is a `table` (V, G H), the sums of those of
    x by `index`.
    """

    cell: Cell
    order: RowOrder
    dy: np.ndarray
    index: np.ndarray | None
    w_hh: np.ndarray
    states: tuple[np.ndarray, ...]
    kept: np.ndarray
    d_states: tuple[np.ndarray, ...]
    sums: np.ndarray
    sums_from: int
    table: np.ndarray | None
    reset_before: bool
