"""A cell's state as its users give it: an array, or a tuple of as many as the cell has."""

from __future__ import annotations

import numpy as np

from textgru.core._support.cell import Cell
from textgru.core._support.checks import check_array


def arrays_of(cell: Cell, name: str, state: object) -> tuple[np.ndarray, ...] | None:
    """A state as a tuple of its arrays. Raises TypeError where it has another number of them."""
    if state is None:
        return None
    count = len(cell.states)
    if count == 1 and isinstance(state, np.ndarray):
        return (state,)
    if count == 1 or not isinstance(state, (tuple, list)) or len(state) != count:
        wanted = "an array" if count == 1 else f"a tuple of {count} arrays ({', '.join(cell.states)})"
        raise TypeError(f"{name}: expected {wanted}, got {type(state).__name__}")
    return tuple(state)


def check_states(
    cell: Cell, name: str, states: tuple[np.ndarray, ...] | None, dtype: np.dtype, shape: tuple[int, ...]
) -> None:
    """Raises TypeError or ValueError unless it is None, or a tuple of the cell's states, all of this dtype and shape.
    `name` is that of the first one, such as h_0 or dh_n."""
    if states is None:
        return
    if not isinstance(states, tuple) or len(states) != len(cell.states):
        raise TypeError(f"{name}: expected a tuple of {len(cell.states)} arrays, got {type(states).__name__}")
    for state, array in zip(cell.states, states, strict=True):
        check_array(name.replace("h_", f"{state}_"), array, dtype, shape)
