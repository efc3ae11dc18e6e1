"""A stack that is composed of layers in one direction each: bidirectional, with residual connections or layer norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from textgru.core._sequence.between_layers import normalise, normalise_backward
from textgru.core._sequence.packed_order import PackedOrder
from textgru.core._sequence.row_order import RowOrder
from textgru.core._support.checks import check_apart, check_probability
from textgru.core._support.dropout import dropout as drop_elements
from textgru.core._support.lookup import scatter_add

if TYPE_CHECKING:
    from textgru.core.recurrent import Recurrent


@dataclass
class Between:
    """What the backward pass needs of what came after a layer of a stack, on arrays (T, B, D H)."""

    normal: tuple[np.ndarray, np.ndarray] | None
    key: int | None  # of the dropout mask
    residual: bool


@dataclass
class StackPass:
    """The same of a stack that is composed of layers in one direction each."""

    shape: tuple[int, int]
    after: list[Between]  # each layer
    inside: np.ndarray | None  # (T, B, 1) bool, where rows have lengths: whether that is before their end
    dropout: float
    variational: bool
    looked_up: tuple[np.ndarray, tuple[int, ...]] | None  # index (T, B) and the table's shape


def forward_stack(
    stack: Recurrent[Any],
    x: np.ndarray,
    h_0s: tuple[np.ndarray, ...] | None,
    lengths: np.ndarray | None,
    training: bool,
    keep: bool,
) -> tuple[np.ndarray, tuple[np.ndarray, ...], list[dict[str, np.ndarray]]]:
    """As forward, of x (T, B, I), layer by layer and direction by direction."""
    steps, batch = x.shape[:2]
    stack._check_states("h_0", h_0s, batch)
    drops, variational = check_probability("dropout", stack.dropout), bool(stack.variational_dropout)
    keys: list[int] = []
    for part in stack._parts:
        part.weight_dropout, part.dropout_rng = stack.weight_dropout, stack.dropout_rng
    if training:
        stack._pass = None
        check_apart("x", x, gradients=stack._flat.gradients)
        if drops:
            keys = [int(key) for key in stack.dropout_rng.integers(0, 2**64, stack.num_layers - 1, np.uint64)]
    inside = None if lengths is None else (np.arange(steps)[:, None] < lengths)[:, :, None]
    orders = _orders(stack, steps, batch, lengths)
    last: list[tuple[np.ndarray, ...]] = []
    after, gates = [], []
    for layer in range(stack.num_layers):
        outputs = []
        for direction, order in enumerate(orders):
            i = layer * stack._directions + direction
            first = None if h_0s is None else tuple(array[i : i + 1] for array in h_0s)
            y, states, found = stack._parts[i]._forward_in_order(x, order, first, training, True, keep)
            outputs.append(y)
            last.append(states)
            gates += found
        y = np.concatenate(outputs, axis=2) if len(outputs) > 1 else outputs[0]
        normal, key = None, None
        if layer < stack.num_layers - 1:
            if stack.layer_norm:
                weight, bias = stack.parameters[f"norm_weight_l{layer}"], stack.parameters[f"norm_bias_l{layer}"]
                y, normal = normalise(y, weight, bias)
            if keys:
                key = keys[layer]
                _drop(y, drops, key, variational)
        residual = stack.residual and x.shape[2] == y.shape[2]
        if residual:
            y = y + x
        if inside is not None and (normal is not None or residual):
            y = np.where(inside, y, y.dtype.type(0))
        after.append(Between(normal, key, residual))
        x = y
    if training:
        stack._pass = StackPass((steps, batch), after, inside, drops, variational, None)
    return x, tuple(np.concatenate(arrays) for arrays in zip(*last, strict=True)), gates


def backward_stack(
    stack: Recurrent[Any],
    done: StackPass,
    dy: np.ndarray,
    d_states: tuple[np.ndarray, ...] | None,
    input_gradient: bool,
) -> tuple[np.ndarray | None, tuple[np.ndarray, ...]]:
    """As backward, of dy (T, B, D H)."""
    stack._check_states("dh_n", d_states, done.shape[1])
    check_apart("dy", dy, gradients=stack._flat.gradients)
    stack._pass = None
    first: list[tuple[np.ndarray, ...]] = []
    dx: np.ndarray | None = None
    for layer in reversed(range(stack.num_layers)):
        after = done.after[layer]
        if done.inside is not None:
            dy = np.where(done.inside, dy, dy.dtype.type(0))
        d = dy
        if after.key is not None:
            d = dy.copy()
            _drop(d, done.dropout, after.key, done.variational)
        if after.normal is not None:
            names = f"norm_weight_l{layer}", f"norm_bias_l{layer}"
            gradients = (stack.gradients[name] for name in names)
            d = normalise_backward(d, after.normal, stack.parameters[names[0]], *gradients)
        wanted, dx = input_gradient or layer > 0, None
        found = []
        for direction in range(stack._directions):
            i = layer * stack._directions + direction
            part = np.ascontiguousarray(d[:, :, direction * stack.hidden_size : (direction + 1) * stack.hidden_size])
            given = None if d_states is None else tuple(array[i : i + 1] for array in d_states)
            d_input, d_first = stack._parts[i]._backward_in_order(part, given, wanted, True)
            found.append(d_first)
            if d_input is not None:
                dx = d_input if dx is None else dx + d_input
        first = found + first
        if dx is not None:
            dy = dx = dx + dy if after.residual else dx
    if dx is not None and done.looked_up is not None:
        index, shape = done.looked_up
        table = np.zeros(shape, stack.dtype)
        scatter_add(index.reshape(-1), dx.reshape(-1, stack.input_size), table)
        dx = table
    return dx, tuple(np.concatenate(arrays) for arrays in zip(*first, strict=True))


def _orders(stack: Recurrent[Any], steps: int, batch: int, lengths: np.ndarray | None) -> list[RowOrder]:
    """For each direction."""
    sizes = np.full(batch, steps) if lengths is None else lengths
    orders: list[RowOrder] = [RowOrder(steps, batch) if lengths is None else PackedOrder(steps, sizes)]
    if stack.bidirectional:
        orders.append(PackedOrder(steps, sizes, backwards=True))
    return orders


def _drop(x: np.ndarray, p: float, key: int, variational: bool) -> None:
    """Dropout of x (T, B, n), in place; where `variational`, with one mask for all steps."""
    drop_elements(x.reshape(-1), p, key, x[0].size if variational else 0)
