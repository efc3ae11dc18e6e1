"""The gates of a layer, by name."""

from __future__ import annotations

import numpy as np

from textgru.core._sequence.row_order import RowOrder
from textgru.core._support.cell import Cell


def gates_of(cell: Cell, order: RowOrder, kept: np.ndarray, states: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    """Name -> array (T, B, H), copies: each gate of the cell, and each array of its state after every step.

    `kept` (N, K H) and `states` (N + B, H) are those of a forward pass that keeps all steps (LayerForward).
    """
    gates, hidden = len(cell.gates), states[0].shape[1]
    blocks = kept.reshape(order.rows, -1, hidden)
    found = {name: blocks[:, (i + cell.input_roll) % gates] for i, name in enumerate(cell.gates)}
    # A plain network's only gate is its state, h, which is not kept a second time.
    found |= {name: order.states(array) for name, array in zip(cell.states, states, strict=True)}
    return {name: np.array(order.put(rows)) for name, rows in found.items()}
