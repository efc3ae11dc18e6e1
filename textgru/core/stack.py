"""A stack of recurrent layers over rows in the core's own order, forward and backward: what the faces stand on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from textgru.core._products.products import Products
from textgru.core._sequence.driver import backward, forward
from textgru.core._sequence.gradients import input_gradients, recurrent_gradient, unroll
from textgru.core._sequence.layer_arrays import LayerBackward, LayerForward
from textgru.core._sequence.row_order import RowOrder
from textgru.core._sequence.states import check_states
from textgru.core._support.alone import alone
from textgru.core._support.cell import Cell
from textgru.core._support.checks import check_apart, check_array, check_index, check_probability
from textgru.core._support.dropout import dropout as drop_elements
from textgru.core._support.lookup import gather, scatter_add
from textgru.core._support.sums import column_sums
from textgru.core._support.workspace import Workspace
from textgru.core.parameters import Layer

# A table is small, and one for each half of the batch, where there are this many times as many rows.
SMALL_TABLE = 16


@dataclass
class RowsPass:
    """What the backward pass needs of the forward pass besides the workspace."""

    order: RowOrder
    x: np.ndarray  # the input (N, I), or the table (V, I) that `index` points into
    index: np.ndarray | None  # (N,)
    projected_table: bool
    keys: list[int]  # of the dropout masks, one for each layer but the last
    dropout: float
    variational: bool
    weight_keys: list[int]  # of the masks of weight_hh, one for each layer, or none
    weight_dropout: float


class Stack(Layer):
    """The layers of a textgru.core.recurrent.Recurrent, which makes them and says what its settings mean."""

    cell: ClassVar[Cell]
    _reset_before = False  # see GRU

    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    bidirectional: bool
    dropout: float
    variational_dropout: bool
    weight_dropout: float = 0.0
    dropout_rng: np.random.Generator
    _pass: Any  # RowsPass, or textgru.core._sequence.composed_stack.StackPass
    _parts: tuple[Any, ...] = ()  # of a composed stack: its layers, each in its directions
    _zeros: np.ndarray
    _workspace: Workspace
    _inference_workspace: Workspace

    @alone
    def forward_rows(
        self,
        x: np.ndarray,
        index: np.ndarray | None,
        order: RowOrder,
        states: tuple[np.ndarray, ...] | None = None,
        *,
        training: bool = True,
        keep_gates: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """As forward for rows in the core's own order: x (N, I), or with index (N,) the table (V, I) it points into.

        `states`: a tuple of the cell's states (L, B, H). Returns y (N, H), a view of the workspace, and the tuple of
        those after the last step. Raises as forward_lookup; the array `index` may be kept for the backward pass.
        `keep_gates`: the gates of all steps are kept in the workspace, as they always are in training.
        """
        self._check_plain("forward_rows")
        if not isinstance(order, RowOrder):
            raise TypeError(f"order: expected a RowOrder, got {type(order).__name__}")
        check_array("x", x, self.dtype, (order.rows if index is None else "rows", self.input_size))
        if training:
            check_apart("x", x, gradients=self._flat.gradients)
        if index is not None:
            check_index("index", index, (order.rows,), x.shape[0])
            index = index.view()
        x = x.view()
        self._check_states("h_0", states, order.batch)
        work, products = self._room(training), self._products(training)
        cell, hidden, rows, batch = self.cell, self.hidden_size, order.rows, order.batch
        # Projecting the table once and looking rows up is cheaper where the table is smaller than the batch.
        projected_table = index is not None and 2 * x.shape[0] <= rows
        dropout, variational = check_probability("dropout", self.dropout), bool(self.variational_dropout)
        weight_dropout = check_probability("weight_dropout", self.weight_dropout)
        keys: list[int] = []
        weight_keys: list[int] = []
        if training:
            self._pass = None
            if dropout:
                keys = self._new_keys(self.num_layers - 1)
            if weight_dropout:
                weight_keys = self._new_keys(self.num_layers)
        last = tuple(np.empty((self.num_layers, batch, hidden), self.dtype) for _ in cell.states)
        source = x
        if index is not None and not projected_table:
            source = work.get("rows", rows, self.input_size)
            gather(x, index, source)
        for layer in range(self.num_layers):
            b_ih = self.parameters[f"bias_ih_l{layer}"] if self.bias else self._zeros
            b_hh = self.parameters[f"bias_hh_l{layer}"] if self.bias else self._zeros
            w_hh = self._recurrent_weight(layer)
            check_array(f"bias_hh_l{layer}", b_hh, self.dtype, (len(w_hh),))
            if weight_keys:
                whole, w_hh = w_hh, self._dropped_weight(layer)
                drop_elements(w_hh.reshape(-1), weight_dropout, weight_keys[layer], source=whole.reshape(-1))
            projected = work.get("projected", source.shape[0], len(cell.gates) * hidden)
            products.multiply(source, self.parameters[f"weight_ih_l{layer}"].T, projected, bias=b_ih)
            arrays = self._layer_states(layer, order, work)
            for i, array in enumerate(arrays):
                order.begin(array, None if states is None else states[i][layer])
            keep = training or keep_gates
            kept = work.get(f"kept_l{layer}" if keep else "kept", rows if keep else batch, cell.kept * hidden)
            looked_up, before = index if projected_table and layer == 0 else None, self._reset_before
            forward(LayerForward(cell, order, projected, looked_up, w_hh, b_hh, arrays, kept, before), products, work)
            for i, array in enumerate(arrays):
                order.last(order.states(array), last[i][layer])
            source = order.states(arrays[0])
            if keys and layer < self.num_layers - 1:
                dropped = work.get(f"dropped_l{layer}", rows, hidden)
                order.drop(dropped, dropout, keys[layer], variational=variational, source=source)
                source = dropped
        if training:
            self._pass = RowsPass(
                order, x, index, projected_table, keys, dropout, variational, weight_keys, weight_dropout
            )
        return order.states(arrays[0]), last

    @alone
    def backward_rows(
        self,
        dy: np.ndarray,
        d_states: tuple[np.ndarray, ...] | None = None,
        *,
        input_gradient: bool = True,
        ready: Callable[[int], None] | None = None,
    ) -> tuple[np.ndarray | None, tuple[np.ndarray, ...]]:
        """As backward after forward_rows: dy (N, H) and dx are rows in the core's own order, or dx is the table's
        gradient; a view of the workspace. `d_states`: a tuple, as the states. `ready`: called with the number of each
        layer but the first when its gradients are complete, and before those of the layers below are computed.
        Raises as backward."""
        self._check_plain("backward_rows")
        done = self._pass
        if not isinstance(done, RowsPass):
            raise RuntimeError("backward: call forward with training=True first")
        order, x, index, keys = done.order, done.x, done.index, done.keys
        check_array("dy", dy, self.dtype, (order.rows, self.hidden_size))
        check_apart("dy", dy, gradients=self._flat.gradients)
        self._check_states("dh_n", d_states, order.batch)
        if index is not None:
            check_index("index", index, (order.rows,), x.shape[0])
        self._pass = None
        work, hidden, products = self._workspace, self.hidden_size, self._products(True)
        rows, batch = order.rows, order.batch
        first = tuple(np.zeros((self.num_layers, batch, hidden), self.dtype) for _ in self.cell.states)
        for array, given in zip(first, d_states or (), strict=False):
            array[...] = order.rows_of_batch(given)
        dx: np.ndarray | None = None
        for layer in reversed(range(self.num_layers)):
            w_ih, dw_ih = self.parameters[f"weight_ih_l{layer}"], self.gradients[f"weight_ih_l{layer}"]
            kept = work.get(f"kept_l{layer}", rows, self.cell.kept * hidden)
            dtable = None
            if layer == 0 and done.projected_table:
                dtable = work.get("projected", x.shape[0], len(self.cell.gates) * hidden)
            w_hh = self._dropped_weight(layer) if done.weight_keys else self._recurrent_weight(layer)
            self._backward_layer(layer, order, dy, kept, w_hh, tuple(array[layer] for array in first), index, dtable)
            if done.weight_keys:
                dw_hh = self.gradients[f"weight_hh_l{layer}"]
                drop_elements(dw_hh.reshape(-1), done.weight_dropout, done.weight_keys[layer])
            if layer:
                below = order.states(work.get(f"h_l{layer - 1}", rows + batch, hidden))
                if keys:
                    below = work.get(f"dropped_l{layer - 1}", rows, hidden)
                dx = work.get(f"dx_{layer % 2}", rows, hidden)
                input_gradients(self.cell, products, work, kept, below, w_ih, dw_ih, dx)
                if keys:
                    order.drop(dx, done.dropout, keys[layer - 1], variational=done.variational)
                dy = dx
                if ready is not None:
                    ready(layer)
            elif index is None:  # the input was x itself
                dx = work.get("dx", rows, self.input_size) if input_gradient else None
                input_gradients(self.cell, products, work, kept, x, w_ih, dw_ih, dx)
            elif dtable is not None:
                dx = work.get("dtable", x.shape[0], self.input_size) if input_gradient else None
                input_gradients(self.cell, products, work, dtable, x, w_ih, dw_ih, dx)
            else:
                drows = work.get("dx", rows, self.input_size) if input_gradient else None
                input_gradients(
                    self.cell, products, work, kept, work.get("rows", rows, self.input_size), w_ih, dw_ih, drows
                )
                dx = work.get("dtable", *x.shape) if input_gradient else None
                if dx is not None and drows is not None:
                    dx[...] = 0
                    scatter_add(index, drows, dx)
        return dx, tuple(order.batch_of_rows(array) for array in first)

    @property
    def _directions(self) -> int:
        return 1 + self.bidirectional

    def _check_plain(self, name: str) -> None:
        if self._parts:
            raise ValueError(f"{name}: expected a stack without bidirectional, residual and layer_norm; use forward")

    def _backward_layer(
        self,
        layer: int,
        order: RowOrder,
        dy: np.ndarray,
        kept: np.ndarray,
        w_hh: np.ndarray,
        d_states: tuple[np.ndarray, ...],
        index: np.ndarray | None,
        dtable: np.ndarray | None,
    ) -> None:
        """`kept` becomes gradients (Cell), d_states, in those of the last states, those of the first ones; `dtable`,
        where the layer's input was a table, the sums of the gradients that belong to its rows. Fills the gradients of
        weight_hh and of both biases."""
        cell, hidden, work, products = self.cell, self.hidden_size, self._workspace, self._products(True)
        gates = len(cell.gates) * hidden
        small = dtable is not None and SMALL_TABLE * len(dtable) <= order.rows
        sums, sums_from = work.get("sums", cell.kept * hidden), 0 if dtable is None else gates
        states = self._layer_states(layer, order, work)
        dw_hh = self.gradients[f"weight_hh_l{layer}"]
        table = dtable if small else None
        backward(
            LayerBackward(
                cell, order, dy, index, w_hh, states, kept, d_states, sums, sums_from, table, self._reset_before
            ),
            products,
            work,
        )
        if dtable is not None and not small:
            assert index is not None
            dtable[...] = 0
            scatter_add(index, kept[:, :gates], dtable)
        if dtable is not None:  # the same sum, of fewer rows
            column_sums(dtable, sums[:gates])
        if self.bias:
            db_ih, db_hh = self.gradients[f"bias_ih_l{layer}"], self.gradients[f"bias_hh_l{layer}"]
            unroll(cell, sums[:gates], db_ih)
            db_hh[...] = db_ih if self._reset_before else sums[cell.recurrent_from * hidden :][:gates]
        self._recurrent_gradient(products, order, kept, states[0], dw_hh)

    def _recurrent_gradient(
        self, products: Products, order: RowOrder, kept: np.ndarray, h: np.ndarray, dw_hh: np.ndarray
    ) -> None:
        recurrent_gradient(self.cell, products, order, kept, h, dw_hh)

    def _check_states(self, name: str, states: tuple[np.ndarray, ...] | None, batch: int) -> None:
        check_states(self.cell, name, states, self.dtype, (self.num_layers * self._directions, batch, self.hidden_size))

    def _recurrent_weight(self, layer: int) -> np.ndarray:
        """weight_hh (G H, H) of a layer. Raises ValueError where somebody gave the array another shape."""
        weight = self.parameters[f"weight_hh_l{layer}"]
        shape = (len(self.cell.gates) * self.hidden_size, self.hidden_size)
        check_array(f"weight_hh_l{layer}", weight, self.dtype, shape)
        return weight

    def _dropped_weight(self, layer: int) -> np.ndarray:
        """What weight dropout leaves of weight_hh, from the forward pass to the backward pass."""
        return self._workspace.get(f"weight_hh_l{layer}", *self.parameters[f"weight_hh_l{layer}"].shape)

    def _new_keys(self, count: int) -> list[int]:
        """Of masks."""
        return [int(key) for key in self.dropout_rng.integers(0, 2**64, count, np.uint64)]

    def _layer_states(self, layer: int, order: RowOrder, work: Workspace) -> tuple[np.ndarray, ...]:
        """A layer's states (N + B, H), before the first step and after each."""
        rows = order.rows + order.batch
        return tuple(work.get(f"{name}_l{layer}", rows, self.hidden_size) for name in self.cell.states)

    def _room(self, training: bool) -> Workspace:
        return self._workspace if training else self._inference_workspace
