"""What every recurrent cell shares: the stack of layers, its workspace, its forward and backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from textgru.core.checks import (
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
from textgru.core.lookup import gather, scatter_add
from textgru.core.parameters import Layer
from textgru.core.products import Products
from textgru.core.row_order import RowOrder
from textgru.core.workspace import Workspace

MOST_LAYERS = 10_000


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


class Recurrent(Layer):
    """A stack of recurrent layers over time-major arrays; a cell (GRU) provides the recurrence.

    T steps, B rows of a batch, I = input_size, H = hidden_size, L = num_layers. `bias=False` leaves out both biases.
    `dropout` is the probability of an element of a layer's output, except the last layer's, being zero on its way to
    the next layer while training; with `variational_dropout` it is one mask for all steps of a row of the batch (Gal
    and Ghahramani 2016, arXiv:1512.05287, section 4; on the recurrence itself there is none). `precision` "bf16" rounds
    the inputs of all products of a training pass to bfloat16 (Layer.precision). `dtype` float32 or float64. Parameters
    start uniform in +-1/sqrt(H), drawn from `seed`: an int, a numpy.random.Generator, or None. An object must not be
    used by two threads at once. Raises TypeError or ValueError for what can't be, MemoryError for more parameters than
    the machine's memory holds. Sizes, `bias` and `dtype` stay what they are.
    """

    _fixed = Layer._fixed | {"input_size", "hidden_size", "num_layers", "bias"}
    _pass: _Pass | None

    weight_blocks: ClassVar[int]  # weight_ih and weight_hh have this many times H rows
    saved_blocks: ClassVar[int]  # the forward pass keeps this many times H numbers a step and row

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
        rows = self.weight_blocks * self.hidden_size
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
        self._rng = rng
        self._initialise(self._rng, self.hidden_size**-0.5)
        self._zeros = np.zeros(rows, self.dtype)
        self._workspace = Workspace(self.dtype)
        self._inference_workspace = Workspace(self.dtype)

    def forward(
        self, x: np.ndarray, h_0: np.ndarray | None = None, *, training: bool = True, copy: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """The outputs y (T, B, H) of the last layer and the states h_n (L, B, H) after the last step.

        x (T, B, I); h_0 (L, B, H), zeros when not given. `training=False` keeps nothing for a backward pass and
        applies no dropout. `copy=False` returns y as a view of the workspace, good until the next call. The array x
        itself may be kept for the backward pass: leave it as it is until then.
        Raises TypeError or ValueError on arrays that don't fit, or where x is a view of this layer's workspace or
        shares memory with gradients.
        """
        check_array("x", x, self.dtype, ("seq", "batch", self.input_size))
        order = RowOrder(*x.shape[:2])
        if training and order.whole and self._workspace.holds(x):
            raise ValueError("x: expected an array apart from this layer's workspace; pass a copy")
        y, h_n = self.forward_rows(self._in_order("x", x, order, training), None, order, h_0, training=training)
        return self._in_steps(y, order, training, copy), h_n

    def forward_lookup(
        self,
        table: np.ndarray,
        index: np.ndarray,
        h_0: np.ndarray | None = None,
        *,
        training: bool = True,
        copy: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same as forward(table[index]), faster: table (V, I), index (T, B) intp. See forward.

        The backward pass then gives the gradient with respect to the table. Raises IndexError as well.
        """
        check_array("table", table, self.dtype, ("rows", self.input_size))
        index = own_index("index", index, ("seq", "batch"), table.shape[0])
        order = RowOrder(*index.shape)
        if training and self._workspace.holds(table):
            raise ValueError("table: expected an array apart from this layer's workspace; pass a copy")
        y, h_n = self.forward_rows(table, order.take(index), order, h_0, training=training)
        return self._in_steps(y, order, training, copy), h_n

    def backward(
        self, dy: np.ndarray, dh_n: np.ndarray | None = None, *, input_gradient: bool = True, copy: bool = True
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """The gradients of the last forward pass, given those of its results: dy (T, B, H), dh_n (L, B, H) or None.

        Fills `gradients` and returns dx, shaped as the input was (x or table), and dh_0 (L, B, H).
        `input_gradient=False` returns None for dx. `copy=False` returns dx as a view of the workspace.
        Raises RuntimeError without a forward pass before it, TypeError or ValueError on arrays that don't fit.
        """
        if self._pass is None:
            raise RuntimeError("backward: call forward with training=True first")
        order, looked_up = self._pass.order, self._pass.index is not None
        check_array("dy", dy, self.dtype, (order.steps, order.batch, self.hidden_size))
        rows = self._in_order("dy", dy, order, True)
        dx, dh_0 = self.backward_rows(rows, dh_n, input_gradient=input_gradient)
        if dx is None:
            return None, dh_0
        if looked_up:
            return (dx.copy() if copy else dx.view()), dh_0
        return self._in_steps(dx, order, True, copy), dh_0

    def forward_rows(
        self,
        x: np.ndarray,
        index: np.ndarray | None,
        order: RowOrder,
        h_0: np.ndarray | None = None,
        *,
        training: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As forward for rows in the core's own order: x (N, I), or with index (N,) the table (V, I) it points into.

        Returns y (N, H), a view of the workspace, and h_n. Raises as forward_lookup; the array `index` may be kept for
        the backward pass.
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
        if h_0 is not None:
            check_array("h_0", h_0, self.dtype, (self.num_layers, order.batch, self.hidden_size))
        work, products = self._room(training), self._products(training)
        hidden, blocks, rows, batch = self.hidden_size, self.weight_blocks, order.rows, order.batch
        # Projecting the table once and looking rows up is cheaper where the table is smaller than the batch.
        projected_table = index is not None and 2 * x.shape[0] <= rows
        dropout, variational = check_probability("dropout", self.dropout), bool(self.variational_dropout)
        keys: list[int] = []
        if training:
            self._pass = None
            if dropout:
                keys = [int(key) for key in self._rng.integers(0, 2**64, self.num_layers - 1, np.uint64)]
        h_n = np.empty((self.num_layers, batch, hidden), self.dtype)
        source = x
        if index is not None and not projected_table:
            source = work.get("rows", rows, self.input_size)
            gather(x, index, source)
        for layer in range(self.num_layers):
            b_ih = self.parameters[f"bias_ih_l{layer}"] if self.bias else self._zeros
            b_hh = self.parameters[f"bias_hh_l{layer}"] if self.bias else self._zeros
            projected = work.get("projected", source.shape[0], blocks * hidden)
            products.multiply(source, self.parameters[f"weight_ih_l{layer}"].T, projected, bias=b_ih)
            h = work.get(f"h_l{layer}", rows + batch, hidden)
            order.begin(h, None if h_0 is None else h_0[layer])
            saved = work.get(
                f"saved_l{layer}" if training else "saved", rows if training else batch, self.saved_blocks * hidden
            )
            self._forward_layer(
                products,
                work,
                order,
                projected,
                index if projected_table and layer == 0 else None,
                self.parameters[f"weight_hh_l{layer}"],
                b_hh,
                h,
                saved,
            )
            source = order.states(h)
            order.last(source, h_n[layer])
            if keys and layer < self.num_layers - 1:
                dropped = work.get(f"dropped_l{layer}", rows, hidden)
                order.drop(dropped, dropout, keys[layer], variational=variational, source=source)
                source = dropped
        if training:
            self._pass = _Pass(order, x, index, projected_table, keys, dropout, variational)
        return order.states(h), h_n

    def backward_rows(
        self, dy: np.ndarray, dh_n: np.ndarray | None = None, *, input_gradient: bool = True
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """As backward after forward_rows: dy (N, H) and dx are rows in the core's own order, or dx is the table's
        gradient; a view of the workspace. Raises as backward."""
        done = self._pass
        if done is None:
            raise RuntimeError("backward: call forward with training=True first")
        order, x, index, keys = done.order, done.x, done.index, done.keys
        check_array("dy", dy, self.dtype, (order.rows, self.hidden_size))
        check_apart("dy", dy, gradients=self._flat.gradients)
        if dh_n is not None:
            check_array("dh_n", dh_n, self.dtype, (self.num_layers, order.batch, self.hidden_size))
        if index is not None:
            check_index("index", index, (order.rows,), x.shape[0])
        self._pass = None
        work, hidden, products = self._workspace, self.hidden_size, self._products(True)
        rows, batch = order.rows, order.batch
        dh_0 = np.zeros((self.num_layers, batch, hidden), self.dtype)
        if dh_n is not None:
            dh_0[...] = dh_n
        dx: np.ndarray | None = None
        for layer in reversed(range(self.num_layers)):
            w_ih, w_hh = self.parameters[f"weight_ih_l{layer}"], self.parameters[f"weight_hh_l{layer}"]
            dw_ih, dw_hh = self.gradients[f"weight_ih_l{layer}"], self.gradients[f"weight_hh_l{layer}"]
            h = work.get(f"h_l{layer}", rows + batch, hidden)
            saved = work.get(f"saved_l{layer}", rows, self.saved_blocks * hidden)
            db_ih, db_hh = self.gradients.get(f"bias_ih_l{layer}"), self.gradients.get(f"bias_hh_l{layer}")
            dtable = None
            if layer == 0 and done.projected_table:
                dtable = work.get("projected", x.shape[0], self.weight_blocks * hidden)
            self._backward_layer(
                products, work, order, dy, w_hh, h, saved, dh_0[layer], dw_hh, db_ih, db_hh, index, dtable
            )
            if layer:
                below = order.states(work.get(f"h_l{layer - 1}", rows + batch, hidden))
                if keys:
                    below = work.get(f"dropped_l{layer - 1}", rows, hidden)
                dx = work.get(f"dx_{layer % 2}", rows, hidden)
                self._input_gradients(products, saved, below, w_ih, dw_ih, dx)
                if keys:
                    order.drop(dx, done.dropout, keys[layer - 1], variational=done.variational)
                dy = dx
            elif index is None:  # the input was x itself
                dx = work.get("dx", rows, self.input_size) if input_gradient else None
                self._input_gradients(products, saved, x, w_ih, dw_ih, dx)
            elif dtable is not None:
                dx = work.get("dtable", x.shape[0], self.input_size) if input_gradient else None
                self._input_gradients(products, dtable, x, w_ih, dw_ih, dx)
            else:
                drows = work.get("dx", rows, self.input_size) if input_gradient else None
                self._input_gradients(products, saved, work.get("rows", rows, self.input_size), w_ih, dw_ih, drows)
                dx = work.get("dtable", *x.shape) if input_gradient else None
                if dx is not None and drows is not None:
                    dx[...] = 0
                    scatter_add(index, drows, dx)
        return dx, dh_0

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

    # What a cell provides. Rows are in the order given. Shapes: projected (N, weight_blocks H) or with index (V,
    # weight_blocks H); h (N + B, H) with the states before the first step given; saved (N, saved_blocks H), or
    # (B, saved_blocks H) where nothing is kept. `work` has room for whatever else it needs.

    def _forward_layer(
        self,
        products: Products,
        work: Workspace,
        order: RowOrder,
        projected: np.ndarray,
        index: np.ndarray | None,
        w_hh: np.ndarray,
        b_hh: np.ndarray,
        h: np.ndarray,
        saved: np.ndarray,
    ) -> None:
        raise NotImplementedError

    def _backward_layer(
        self,
        products: Products,
        work: Workspace,
        order: RowOrder,
        dy: np.ndarray,
        w_hh: np.ndarray,
        h: np.ndarray,
        saved: np.ndarray,
        dh: np.ndarray,
        dw_hh: np.ndarray,
        db_ih: np.ndarray | None,
        db_hh: np.ndarray | None,
        index: np.ndarray | None,
        dtable: np.ndarray | None,
    ) -> None:
        """`saved` becomes the gradients before the activations; dh (B, H), in dh_n, becomes dh_0. `dtable`, where the
        layer's input was a table, becomes the sums of those gradients that belong to its rows."""
        raise NotImplementedError

    def _input_gradients(
        self,
        products: Products,
        saved: np.ndarray,
        x: np.ndarray,
        w_ih: np.ndarray,
        dw_ih: np.ndarray,
        dx: np.ndarray | None,
    ) -> None:
        """From `saved` after _backward_layer, or `dtable` with the table as x."""
        raise NotImplementedError
