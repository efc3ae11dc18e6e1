"""What every recurrent cell shares: the stack of layers, its workspace, its forward and backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar, overload

import numpy as np

from textgru.core._products.products import Products
from textgru.core._sequence.driver import backward, forward
from textgru.core._sequence.gates import gates_of
from textgru.core._sequence.gradients import input_gradients, recurrent_gradient, unroll
from textgru.core._sequence.layer_arrays import LayerBackward, LayerForward
from textgru.core._sequence.row_order import RowOrder
from textgru.core._sequence.states import arrays_of, check_states
from textgru.core._support.cell import Cell
from textgru.core._support.checks import (
    check_apart,
    check_array,
    check_flag,
    check_index,
    check_integer,
    check_memory,
    check_probability,
    check_seed,
    check_size,
    float_dtype,
    own_index,
)
from textgru.core._support.lookup import gather, scatter_add
from textgru.core._support.sums import column_sums
from textgru.core._support.workspace import Workspace
from textgru.core.parameters import Layer

MOST_LAYERS = 10_000

# A table is small, and one for each half of the batch, where there are this many times as many rows.
SMALL_TABLE = 16

# A state as a cell's users have it: h (L, B, H), or the pair (h, c).
State = TypeVar("State", np.ndarray, tuple[np.ndarray, np.ndarray])


@dataclass
class _Pass:
    """What the backward pass needs of the forward pass besides the workspace."""

    order: RowOrder
    x: np.ndarray  # the input (N, I), or the table (V, I) that `index` points into
    index: np.ndarray | None  # (N,)
    projected_table: bool
    keys: list[int]  # of the dropout masks, one for each layer but the last
    dropout: float
    variational: bool


class Recurrent(Layer, Generic[State]):
    """A stack of recurrent layers over time-major arrays. A cell is a description: GRU, LSTM, RNN.

    T steps, B rows of a batch, I = input_size, H = hidden_size, L = num_layers. `bias=False` leaves out both biases.
    `dropout` is the probability of an element of a layer's output, except the last layer's, being zero on its way to
    the next layer while training; with `variational_dropout` it is one mask for all steps of a row of the batch (Gal
    and Ghahramani 2016, arXiv:1512.05287, section 4; on the recurrence itself there is none). `precision` "bf16" rounds
    the inputs of all products of a training pass to bfloat16 (Layer.precision). `dtype` float32 or float64. Parameters
    start uniform in +-1/sqrt(H), drawn from `seed`: an int, a numpy.random.Generator, or None; `dropout_rng` draws the
    masks: that generator, unless another is put in its place. An object must not be used by two threads at once. Raises
    TypeError or ValueError for what can't be, MemoryError for more parameters than the machine's memory holds. Sizes,
    `bias` and `dtype` stay what they are.
    """

    _fixed = Layer._fixed | {"input_size", "hidden_size", "num_layers", "bias"}
    _pass: _Pass | None
    _reset_before = False  # see GRU

    cell: ClassVar[Cell]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        variational_dropout: bool = False,
        precision: str = "fp32",
        dtype: object = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.num_layers = check_integer("num_layers", num_layers, 1, MOST_LAYERS)
        self.bias = check_flag("bias", bias)
        self.dropout = check_probability("dropout", dropout)
        self.variational_dropout = check_flag("variational_dropout", variational_dropout)
        rng = check_seed(seed)
        rows = len(self.cell.gates) * self.hidden_size
        columns = self.input_size + self.hidden_size * (2 * self.num_layers - 1) + 2 * self.num_layers * self.bias
        check_memory("input_size, hidden_size, num_layers", 2 * rows * columns * float_dtype(dtype).itemsize)
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.num_layers):
            shapes[f"weight_ih_l{layer}"] = (rows, self.hidden_size if layer else self.input_size)
            shapes[f"weight_hh_l{layer}"] = (rows, self.hidden_size)
            if self.bias:
                shapes[f"bias_ih_l{layer}"] = (rows,)
                shapes[f"bias_hh_l{layer}"] = (rows,)
        self._allocate(shapes, float_dtype(dtype), precision)
        self.dropout_rng = rng
        self._initialise(rng, self.hidden_size**-0.5)
        self._zeros = np.zeros(rows, self.dtype)
        self._workspace = Workspace(self.dtype)
        self._inference_workspace = Workspace(self.dtype)

    @overload
    def forward(
        self, x: np.ndarray, h_0: State | None = None, *, training: bool = True, copy: bool = True,
        return_gates: Literal[False] = False,
    ) -> tuple[np.ndarray, State]: ...  # fmt: skip

    @overload
    def forward(
        self, x: np.ndarray, h_0: State | None = None, *, training: bool = True, copy: bool = True,
        return_gates: Literal[True],
    ) -> tuple[np.ndarray, State, list[dict[str, np.ndarray]]]: ...  # fmt: skip

    def forward(
        self, x: np.ndarray, h_0: State | None = None, *, training: bool = True, copy: bool = True,
        return_gates: bool = False,
    ) -> tuple[np.ndarray, State] | tuple[np.ndarray, State, list[dict[str, np.ndarray]]]:  # fmt: skip
        """The outputs y (T, B, H) of the last layer and the states h_n (L, B, H) after the last step.

        x (T, B, I); h_0 (L, B, H), zeros when not given. Where the cell's state has two arrays (LSTM), h_0 and h_n are
        pairs of such arrays, (h, c). `training=False` keeps nothing for a backward pass and applies no dropout.
        `copy=False` returns y as a view of the workspace, good until the next call. The array x itself may be kept for
        the backward pass: leave it as it is until then. `return_gates=True` returns a third result: for each layer its
        gates and states at every step, arrays (T, B, H) by the names of the equations: r, z, n, h of a GRU, i, f, g, o,
        h, c of an LSTM, h of an RNN.
        Raises TypeError or ValueError on arrays that don't fit, or where x is a view of this layer's workspace or
        shares memory with gradients.
        """
        check_array("x", x, self.dtype, ("seq", "batch", self.input_size))
        order = RowOrder(*x.shape[:2])
        if training and order.whole and self._workspace.holds(x):
            raise ValueError("x: expected an array apart from this layer's workspace; pass a copy")
        rows = self._in_order("x", x, order, training)
        h_0s, keep = arrays_of(self.cell, "h_0", h_0), check_flag("return_gates", return_gates)
        y, states = self.forward_rows(rows, None, order, h_0s, training=training, keep_gates=keep)
        outputs, last = self._in_steps(y, order, training, copy), self._as_state(states)
        return (outputs, last, self._gates(order, training)) if keep else (outputs, last)

    def forward_lookup(
        self,
        table: np.ndarray,
        index: np.ndarray,
        h_0: State | None = None,
        *,
        training: bool = True,
        copy: bool = True,
    ) -> tuple[np.ndarray, State]:
        """The same as forward(table[index]), faster: table (V, I), index (T, B) intp. See forward.

        The backward pass then gives the gradient with respect to the table. Raises IndexError as well.
        """
        check_array("table", table, self.dtype, ("rows", self.input_size))
        index = own_index("index", index, ("seq", "batch"), table.shape[0])
        order = RowOrder(*index.shape)
        if training and self._workspace.holds(table):
            raise ValueError("table: expected an array apart from this layer's workspace; pass a copy")
        y, states = self.forward_rows(
            table, order.take(index), order, arrays_of(self.cell, "h_0", h_0), training=training
        )
        return self._in_steps(y, order, training, copy), self._as_state(states)

    def backward(
        self, dy: np.ndarray, dh_n: State | None = None, *, input_gradient: bool = True, copy: bool = True
    ) -> tuple[np.ndarray | None, State]:
        """The gradients of the last forward pass, given those of its results: dy (T, B, H), dh_n as h_n, or None.

        Fills `gradients` and returns dx, shaped as the input was (x or table), and dh_0, as h_0.
        `input_gradient=False` returns None for dx. `copy=False` returns dx as a view of the workspace.
        Raises RuntimeError without a forward pass before it, TypeError or ValueError on arrays that don't fit.
        """
        if self._pass is None:
            raise RuntimeError("backward: call forward with training=True first")
        order, looked_up = self._pass.order, self._pass.index is not None
        check_array("dy", dy, self.dtype, (order.steps, order.batch, self.hidden_size))
        rows = self._in_order("dy", dy, order, True)
        dx, d_states = self.backward_rows(rows, arrays_of(self.cell, "dh_n", dh_n), input_gradient=input_gradient)
        if dx is None:
            return None, self._as_state(d_states)
        if looked_up:
            return (dx.copy() if copy else dx.view()), self._as_state(d_states)
        return self._in_steps(dx, order, True, copy), self._as_state(d_states)

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
        keys: list[int] = []
        if training:
            self._pass = None
            if dropout:
                keys = [int(key) for key in self.dropout_rng.integers(0, 2**64, self.num_layers - 1, np.uint64)]
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
            self._pass = _Pass(order, x, index, projected_table, keys, dropout, variational)
        return order.states(arrays[0]), last

    def backward_rows(
        self, dy: np.ndarray, d_states: tuple[np.ndarray, ...] | None = None, *, input_gradient: bool = True
    ) -> tuple[np.ndarray | None, tuple[np.ndarray, ...]]:
        """As backward after forward_rows: dy (N, H) and dx are rows in the core's own order, or dx is the table's
        gradient; a view of the workspace. `d_states`: a tuple, as the states. Raises as backward."""
        done = self._pass
        if done is None:
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
            array[...] = given
        dx: np.ndarray | None = None
        for layer in reversed(range(self.num_layers)):
            w_ih, dw_ih = self.parameters[f"weight_ih_l{layer}"], self.gradients[f"weight_ih_l{layer}"]
            kept = work.get(f"kept_l{layer}", rows, self.cell.kept * hidden)
            dtable = None
            if layer == 0 and done.projected_table:
                dtable = work.get("projected", x.shape[0], len(self.cell.gates) * hidden)
            self._backward_layer(layer, order, dy, kept, tuple(array[layer] for array in first), index, dtable)
            if layer:
                below = order.states(work.get(f"h_l{layer - 1}", rows + batch, hidden))
                if keys:
                    below = work.get(f"dropped_l{layer - 1}", rows, hidden)
                dx = work.get(f"dx_{layer % 2}", rows, hidden)
                input_gradients(self.cell, products, work, kept, below, w_ih, dw_ih, dx)
                if keys:
                    order.drop(dx, done.dropout, keys[layer - 1], variational=done.variational)
                dy = dx
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
        return dx, first

    def _backward_layer(
        self,
        layer: int,
        order: RowOrder,
        dy: np.ndarray,
        kept: np.ndarray,
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
        w_hh, dw_hh = self._recurrent_weight(layer), self.gradients[f"weight_hh_l{layer}"]
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

    def _as_state(self, arrays: tuple[np.ndarray, ...]) -> State:
        return arrays[0] if len(arrays) == 1 else arrays  # type: ignore[return-value]

    def _check_states(self, name: str, states: tuple[np.ndarray, ...] | None, batch: int) -> None:
        check_states(self.cell, name, states, self.dtype, (self.num_layers, batch, self.hidden_size))

    def _recurrent_weight(self, layer: int) -> np.ndarray:
        """weight_hh (G H, H) of a layer. Raises ValueError where somebody gave the array another shape."""
        weight = self.parameters[f"weight_hh_l{layer}"]
        shape = (len(self.cell.gates) * self.hidden_size, self.hidden_size)
        check_array(f"weight_hh_l{layer}", weight, self.dtype, shape)
        return weight

    def _layer_states(self, layer: int, order: RowOrder, work: Workspace) -> tuple[np.ndarray, ...]:
        """A layer's states (N + B, H), before the first step and after each."""
        rows = order.rows + order.batch
        return tuple(work.get(f"{name}_l{layer}", rows, self.hidden_size) for name in self.cell.states)

    def _gates(self, order: RowOrder, training: bool) -> list[dict[str, np.ndarray]]:
        """What the last forward pass kept: see forward."""
        work, kept = self._room(training), (order.rows, self.cell.kept * self.hidden_size)
        return [
            gates_of(self.cell, order, work.get(f"kept_l{layer}", *kept), self._layer_states(layer, order, work))
            for layer in range(self.num_layers)
        ]

    def _room(self, training: bool) -> Workspace:
        return self._workspace if training else self._inference_workspace

    def _in_order(self, name: str, array: np.ndarray, order: RowOrder, training: bool) -> np.ndarray:
        """array (T, B, n) as rows (N, n): a view of it, or a buffer of the workspace."""
        if order.whole:
            return order.take(array)
        return order.take(array, self._room(training).get(name, order.rows, array.shape[2]))

    def _in_steps(self, rows: np.ndarray, order: RowOrder, training: bool, copy: bool) -> np.ndarray:
        """Rows (N, n) of the workspace as an array (T, B, n): a copy, or in the workspace as well."""
        if order.whole:
            return order.put(rows).copy() if copy else order.put(rows)
        if copy:
            return order.put(rows)
        buffer = self._room(training).get("in steps", order.rows, rows.shape[1])
        return order.put(rows, buffer.reshape(order.steps, order.batch, -1))
