"""What every recurrent cell shares: the stack of layers as its users have it, over arrays (T, B, -)."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar, overload

import numpy as np

from textgru.core._products.products import Products
from textgru.core._sequence.composed_stack import StackPass, backward_stack, forward_stack
from textgru.core._sequence.gates import gates_of
from textgru.core._sequence.packed_order import PackedOrder
from textgru.core._sequence.row_order import RowOrder
from textgru.core._sequence.states import arrays_of
from textgru.core._support.alone import alone, new_lock
from textgru.core._support.checks import (
    check_array,
    check_flag,
    check_integer,
    check_memory,
    check_probability,
    check_seed,
    check_size,
    float_dtype,
    own_index,
)
from textgru.core._support.lengths import check_lengths
from textgru.core._support.workspace import Workspace
from textgru.core.parameters import Layer, Parameters
from textgru.core.stack import RowsPass, Stack

MOST_LAYERS = 10_000

# A state as a cell's users have it: h (L, B, H), or the pair (h, c).
State = TypeVar("State", np.ndarray, tuple[np.ndarray, np.ndarray])


class Recurrent(Stack, Generic[State]):
    """A stack of recurrent layers over time-major arrays. A cell is a description: GRU, LSTM, RNN.

    T steps, B rows of a batch, I = input_size, H = hidden_size, L = num_layers. `bias=False` leaves out both biases.
    `dropout` is the probability of an element of a layer's output, except the last layer's, being zero on its way to
    the next layer while training; with `variational_dropout` it is one mask for all steps of a row of the batch (Gal
    and Ghahramani 2016, arXiv:1512.05287, section 4). `weight_dropout` is the probability of an element of weight_hh
    being zero throughout a training pass, the others being 1 / (1 - weight_dropout) as large (Merity et al. 2018,
    arXiv:1708.02182, section 2). `precision` "bf16" rounds the inputs of all products of a training pass to bfloat16
    (Layer.precision).

    `batch_first=True`: x, y, dx and dy are (B, T, -), states stay (L, B, H). `bidirectional=True`: each layer reads its
    input in both directions, with D = 2 instead of 1 sets of weights, the second named as weight_ih_l0_reverse; y is
    (T, B, D H), states (L D, B, H), in the order l0, l0_reverse, l1, ... as in PyTorch. `layer_norm=True`: between
    layers stands a layer normalisation (Ba et al. 2016, arXiv:1607.06450) of the outputs, with parameters
    norm_weight_l0 and norm_bias_l0 (D H,). `residual=True`: each layer's input is added to its output, after
    normalisation and dropout, wherever both have the same size, and so to y as well.

    `dtype` float32 or float64. Parameters start uniform in +-1/sqrt(H) (those of norms at 1 and 0), drawn from `seed`:
    an int, a numpy.random.Generator, or None; `dropout_rng` draws the masks: that generator, unless another is put in
    its place. An object is for one thread at a time: what finds another thread in it raises RuntimeError. Raises
    TypeError or ValueError for what can't be, MemoryError for more parameters than the machine's memory holds. Sizes,
    `bias`, `dtype` and the other settings of the stack's form stay what they are.
    """

    _fixed = Layer._fixed | {"input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional"}
    _fixed |= {"residual", "layer_norm"}
    _pass: RowsPass | StackPass | None
    _parts: tuple[Recurrent[State], ...] = ()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        bidirectional: bool = False,
        dropout: float = 0.0,
        variational_dropout: bool = False,
        weight_dropout: float = 0.0,
        residual: bool = False,
        layer_norm: bool = False,
        precision: str = "fp32",
        dtype: object = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.num_layers = check_integer("num_layers", num_layers, 1, MOST_LAYERS)
        self.bias = check_flag("bias", bias)
        self.batch_first = check_flag("batch_first", batch_first)
        self.bidirectional = check_flag("bidirectional", bidirectional)
        self.residual, self.layer_norm = check_flag("residual", residual), check_flag("layer_norm", layer_norm)
        self.dropout = check_probability("dropout", dropout)
        self.variational_dropout = check_flag("variational_dropout", variational_dropout)
        self.weight_dropout = check_probability("weight_dropout", weight_dropout)
        rng = check_seed(seed)
        rows = len(self.cell.gates) * self.hidden_size
        directions, width = self._directions, self._directions * self.hidden_size
        columns = self.input_size + width * (self.num_layers - 1)
        columns += self.num_layers * (self.hidden_size + 2 * self.bias)
        check_memory(
            "input_size, hidden_size, num_layers", 2 * directions * rows * columns * float_dtype(dtype).itemsize
        )
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.num_layers):
            for suffix in ("", "_reverse")[:directions]:
                shapes[f"weight_ih_l{layer}{suffix}"] = (rows, width if layer else self.input_size)
                shapes[f"weight_hh_l{layer}{suffix}"] = (rows, self.hidden_size)
                if self.bias:
                    shapes[f"bias_ih_l{layer}{suffix}"] = (rows,)
                    shapes[f"bias_hh_l{layer}{suffix}"] = (rows,)
        if self.layer_norm:
            for layer in range(self.num_layers - 1):
                shapes[f"norm_weight_l{layer}"] = shapes[f"norm_bias_l{layer}"] = (width,)
        self._allocate(shapes, float_dtype(dtype), precision)
        self.dropout_rng = rng
        self._initialise(rng, self.hidden_size**-0.5)
        for name, array in self.parameters.items():
            if name.startswith("norm_"):
                array[...] = name.startswith("norm_weight")
        self._zeros = np.zeros(rows, self.dtype)
        self._workspace = Workspace(self.dtype)
        self._inference_workspace = Workspace(self.dtype)
        self._lock = new_lock()
        if self.bidirectional or self.residual or self.layer_norm:
            # Their weights are this stack's as soon as it is bound.
            self._parts = tuple(
                type(self)(width if layer else self.input_size, self.hidden_size, seed=0, **self._settings())
                for layer in range(self.num_layers)
                for _ in range(directions)
            )
            self._bind(self._flat, self._names)
            self.use_products(self._training_products, self._inference_products)

    def _settings(self) -> dict[str, Any]:
        """How a part of a stack is made."""
        return {"bias": self.bias, "dtype": self.dtype, "precision": self.precision}

    def use_products(self, training: Products, inference: Products) -> None:
        super().use_products(training, inference)
        for part in self._parts:
            part.use_products(training, inference)

    def _bind(self, flat: Parameters, names: dict[str, str]) -> None:
        super()._bind(flat, names)
        for i, part in enumerate(self._parts):
            suffix = "_reverse" if i % self._directions else ""
            own = part.parameters
            part._bind(flat, {name: names[f"{name[:-1]}{i // self._directions}{suffix}"] for name in own})

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._lock = new_lock()

    @overload
    def forward(
        self, x: np.ndarray, h_0: State | None = None, *, lengths: object = None, training: bool = True,
        copy: bool = True, return_gates: Literal[False] = False,
    ) -> tuple[np.ndarray, State]: ...  # fmt: skip

    @overload
    def forward(
        self, x: np.ndarray, h_0: State | None = None, *, lengths: object = None, training: bool = True,
        copy: bool = True, return_gates: Literal[True],
    ) -> tuple[np.ndarray, State, list[dict[str, np.ndarray]]]: ...  # fmt: skip

    @alone
    def forward(
        self, x: np.ndarray, h_0: State | None = None, *, lengths: object = None, training: bool = True,
        copy: bool = True, return_gates: bool = False,
    ) -> tuple[np.ndarray, State] | tuple[np.ndarray, State, list[dict[str, np.ndarray]]]:  # fmt: skip
        """The outputs y (T, B, H) of the last layer and the states h_n (L, B, H) after the last step.

        x (T, B, I); h_0 (L, B, H), zeros when not given. Where the cell's state has two arrays (LSTM), h_0 and h_n are
        pairs of such arrays, (h, c). `training=False` keeps nothing for a backward pass and applies no dropout.
        `copy=False` returns y as a view of the workspace, good until the next call. The array x itself may be kept for
        the backward pass: leave it as it is until then. `return_gates=True` returns a third result: for each layer its
        gates and states at every step, arrays (T, B, H) by the names of the equations: r, z, n, h of a GRU, i, f, g, o,
        h, c of an LSTM, h of an RNN.
        `lengths` (B,): integers from 1 to T, how many of the steps each row of the batch has. What x holds after a
        row's end is not looked at, y is 0 there, h_n is the state at its end (of the direction backwards, which begins
        there, that at its first step), and gradients likewise; the time it takes is that of the rows' own steps.
        Raises TypeError or ValueError on arrays that don't fit, or where x is a view of this layer's workspace or
        shares memory with gradients.
        """
        check_array("x", x, self.dtype, (*self._axes("seq", "batch"), self.input_size))
        keep = check_flag("return_gates", return_gates)
        x = self._turned(x)
        sizes = check_lengths(lengths, x.shape[1], x.shape[0])
        h_0s = arrays_of(self.cell, "h_0", h_0)
        if self._parts:
            outputs, states, gates = forward_stack(self, x, h_0s, sizes, training, keep)
        else:
            order = RowOrder(*x.shape[:2]) if sizes is None else PackedOrder(x.shape[0], sizes)
            outputs, states, gates = self._forward_in_order(x, order, h_0s, training, copy, keep)
        outputs, last = self._turned(outputs), self._as_state(states)
        if not keep:
            return outputs, last
        return outputs, last, [{name: self._turned(array) for name, array in layer.items()} for layer in gates]

    def _forward_in_order(
        self,
        x: np.ndarray,
        order: RowOrder,
        h_0s: tuple[np.ndarray, ...] | None,
        training: bool,
        copy: bool,
        keep: bool,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...], list[dict[str, np.ndarray]]]:
        """As forward, of x (T, B, I)."""
        if training and order.whole and self._workspace.holds(x):
            raise ValueError("x: expected an array apart from this layer's workspace; pass a copy")
        rows = self._in_order("x", x, order, training)
        y, states = self.forward_rows(rows, None, order, h_0s, training=training, keep_gates=keep)
        return self._in_steps(y, order, training, copy), states, self._gates(order, training) if keep else []

    def _axes(self, seq: int | str, batch: int | str) -> tuple[int | str, int | str]:
        return (batch, seq) if self.batch_first else (seq, batch)

    def _turned(self, array: np.ndarray) -> np.ndarray:
        """From the caller's order of axes to (T, B, ...), and back."""
        return np.ascontiguousarray(array.swapaxes(0, 1)) if self.batch_first else array

    @alone
    def forward_lookup(
        self,
        table: np.ndarray,
        index: np.ndarray,
        h_0: State | None = None,
        *,
        lengths: object = None,
        training: bool = True,
        copy: bool = True,
    ) -> tuple[np.ndarray, State]:
        """The same as forward(table[index]), faster: table (V, I), index (T, B) intp. See forward.

        The backward pass then gives the gradient with respect to the table. Raises IndexError as well.
        """
        check_array("table", table, self.dtype, ("rows", self.input_size))
        index = self._turned(own_index("index", index, self._axes("seq", "batch"), table.shape[0]))
        sizes = check_lengths(lengths, index.shape[1], index.shape[0])
        if training and self._workspace.holds(table):
            raise ValueError("table: expected an array apart from this layer's workspace; pass a copy")
        h_0s = arrays_of(self.cell, "h_0", h_0)
        if self._parts:
            y, states, _ = forward_stack(self, table[index], h_0s, sizes, training, False)
            if isinstance(self._pass, StackPass) and training:
                self._pass.looked_up = index, table.shape
            return self._turned(y), self._as_state(states)
        order = RowOrder(*index.shape) if sizes is None else PackedOrder(index.shape[0], sizes)
        y, states = self.forward_rows(table, order.take(index), order, h_0s, training=training)
        return self._turned(self._in_steps(y, order, training, copy)), self._as_state(states)

    @alone
    def backward(
        self, dy: np.ndarray | None, dh_n: State | None = None, *, input_gradient: bool = True, copy: bool = True
    ) -> tuple[np.ndarray | None, State]:
        """The gradients of the last forward pass, given those of its results: dy (T, B, H), dh_n as h_n; None: zeros.

        Fills `gradients` and returns dx, shaped as the input was (x or table), and dh_0, as h_0.
        `input_gradient=False` returns None for dx. `copy=False` returns dx as a view of the workspace.
        Raises RuntimeError without a forward pass before it, TypeError or ValueError on arrays that don't fit.
        """
        if self._pass is None:
            raise RuntimeError("backward: call forward with training=True first")
        done = self._pass
        steps: int
        batch: int
        if isinstance(done, StackPass):
            steps, batch = done.shape
        else:
            steps, batch = done.order.steps, done.order.batch
        shape = (*self._axes(steps, batch), self._directions * self.hidden_size)
        if dy is None:
            dy = np.zeros([int(size) for size in shape], self.dtype)
        check_array("dy", dy, self.dtype, shape)
        given, looked_up = arrays_of(self.cell, "dh_n", dh_n), False
        if isinstance(done, StackPass):
            looked_up = done.looked_up is not None
            dx, d_states = backward_stack(self, done, self._turned(dy), given, input_gradient)
        else:
            looked_up = done.index is not None
            dx, d_states = self._backward_in_order(self._turned(dy), given, input_gradient, copy)
        return dx if dx is None or looked_up else self._turned(dx), self._as_state(d_states)

    def _backward_in_order(
        self, dy: np.ndarray, d_states: tuple[np.ndarray, ...] | None, input_gradient: bool, copy: bool
    ) -> tuple[np.ndarray | None, tuple[np.ndarray, ...]]:
        """As backward, of dy (T, B, H), after _forward_in_order."""
        assert isinstance(self._pass, RowsPass)
        order, looked_up = self._pass.order, self._pass.index is not None
        rows = self._in_order("dy", dy, order, True)
        dx, d_first = self.backward_rows(rows, d_states, input_gradient=input_gradient)
        if dx is None:
            return None, d_first
        if looked_up:
            return (dx.copy() if copy else dx.view()), d_first
        return self._in_steps(dx, order, True, copy), d_first

    def _as_state(self, arrays: tuple[np.ndarray, ...]) -> State:
        return arrays[0] if len(arrays) == 1 else arrays  # type: ignore[return-value]

    def _gates(self, order: RowOrder, training: bool) -> list[dict[str, np.ndarray]]:
        """What the last forward pass kept: see forward."""
        work, kept = self._room(training), (order.rows, self.cell.kept * self.hidden_size)
        return [
            gates_of(self.cell, order, work.get(f"kept_l{layer}", *kept), self._layer_states(layer, order, work))
            for layer in range(self.num_layers)
        ]

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
        buffer = self._room(training).get("in steps", order.steps * order.batch, rows.shape[1])
        return order.put(rows, buffer.reshape(order.steps, order.batch, -1))
