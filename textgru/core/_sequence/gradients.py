"""From the gradients that a layer's backward pass leaves to those of weights and input. Shapes: layer_arrays."""

from __future__ import annotations

import numpy as np

from textgru.core._products.products import Products
from textgru.core._sequence.row_order import RowOrder
from textgru.core._support.cell import Cell
from textgru.core._support.workspace import Workspace


def recurrent_gradient(
    cell: Cell, products: Products, order: RowOrder, kept: np.ndarray, h: np.ndarray, dw_hh: np.ndarray
) -> None:
    """dw_hh (G H, H) = the gradients of W_hh h + b_hh, transposed, @ the states before; h (N + B, H)."""
    first = cell.recurrent_from * dw_hh.shape[1]
    columns = slice(first, first + len(dw_hh))
    products.multiply_sum([(kept[rows, columns].T, h_prev) for rows, h_prev in order.before(h)], dw_hh)


def input_gradients(
    cell: Cell,
    products: Products,
    work: Workspace,
    kept: np.ndarray,
    x: np.ndarray,
    w_ih: np.ndarray,
    dw_ih: np.ndarray,
    dx: np.ndarray | None,
) -> None:
    """dw_ih (G H, I), and dx (N, I) unless it is None, from the gradients and the input x (N, I); or from their sums
    for each row of a table (V, G H) and the table as x."""
    gradients = kept[:, : len(w_ih)]
    if not cell.input_roll:
        products.multiply(gradients.T, x, dw_ih)
        if dx is not None:
            products.multiply(gradients, w_ih, dx)
        return
    rolled = work.get("rolled", *w_ih.shape)
    products.multiply(gradients.T, x, rolled)
    unroll(cell, rolled, dw_ih)
    if dx is not None:
        end = _rolled_rows(cell, w_ih)
        rolled[:end], rolled[end:] = w_ih[len(w_ih) - end :], w_ih[: len(w_ih) - end]
        products.multiply(gradients, rolled, dx)


def unroll(cell: Cell, rolled: np.ndarray, out: np.ndarray) -> None:
    """out (G H, ...) = the gates' blocks in the weights' order, from that in which a cell keeps them."""
    end = _rolled_rows(cell, out)
    out[len(out) - end :], out[: len(out) - end] = rolled[:end], rolled[end:]


def _rolled_rows(cell: Cell, weights: np.ndarray) -> int:
    return cell.input_roll * (len(weights) // len(cell.gates))
