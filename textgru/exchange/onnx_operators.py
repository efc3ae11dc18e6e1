"""What ONNX's operators GRU, LSTM and RNN define, run by the core's layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from textgru.core import GRU, LSTM, RNN

# Where each of ONNX's gates stands among ours: GRU z, r, h of r, z, n; LSTM i, o, f, c of i, f, g, o.
ORDER = {"gru": (1, 0, 2), "lstm": (0, 3, 1, 2), "rnn": (0,)}
CELLS: dict[str, Any] = {"GRU": GRU, "LSTM": LSTM, "RNN": RNN}
ACTIVATIONS = {"GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh"), "RNN": ("tanh",)}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def run_operator(
    operator: str,
    x: np.ndarray,
    w: np.ndarray,
    r: np.ndarray,
    b: np.ndarray | None = None,
    sequence_lens: np.ndarray | None = None,
    initial_h: np.ndarray | None = None,
    initial_c: np.ndarray | None = None,
    p: np.ndarray | None = None,
    *,
    direction: str | bytes = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
    activations: list[str] | None = None,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    clip: float | None = None,
    input_forget: int = 0,
) -> tuple[np.ndarray, ...]:
    """Y, Y_h and, of an LSTM, Y_c: what ONNX's operator "GRU", "LSTM" or "RNN" (opset 14 and later) gives.

    Inputs in the operator's order, attributes by their names: x (T, B, I), w (D, G H, I), r (D, G H, H), b (D, 2 G H),
    sequence_lens (B,), initial_h and initial_c (D, B, H), float32 or float64; Y (T, D, B, H), Y_h and Y_c (D, B, H);
    with layout=1 x (B, T, I), states (B, D, H), Y (B, T, D, H). Raises ValueError for arrays and values that don't fit,
    and by its name for what the core doesn't have: peepholes (P), clip, input_forget, other activations.
    """
    if operator not in CELLS:
        raise ValueError(f"operator: expected one of {', '.join(CELLS)}, got {operator!r}")
    direction = direction.decode() if isinstance(direction, bytes) else direction
    if direction not in DIRECTIONS:
        raise ValueError(f"direction: expected one of {', '.join(DIRECTIONS)}, got {direction!r}")
    if layout not in (0, 1):
        raise ValueError(f"layout: expected 0 or 1, got {layout!r}")
    directions = DIRECTIONS[direction]
    _refuse(operator, directions, p, activations, activation_alpha, activation_beta, clip, input_forget)
    cell = CELLS[operator]
    hidden, gates = r.shape[-1], len(cell.cell.gates)
    if hidden_size not in (None, hidden):
        raise ValueError(f"hidden_size: expected {hidden}, as R has, got {hidden_size}")
    shapes: dict[str, tuple[np.ndarray, tuple[int, ...]]] = {}
    shapes |= {"W": (w, (directions, gates * hidden, x.shape[-1])), "R": (r, (directions, gates * hidden, hidden))}
    if b is not None:
        shapes["B"] = (b, (directions, 2 * gates * hidden))
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    settings = {"reset_after": bool(linear_before_reset)} if operator == "GRU" else {}
    layer = cell(
        x.shape[-1], hidden, bias=b is not None, bidirectional=directions == 2, dtype=x.dtype, seed=0, **settings
    )
    layer.load(_parameters(ORDER[cell.cell.name], w, r, b))
    x = np.ascontiguousarray(x.swapaxes(0, 1) if layout else x)
    steps, batch = x.shape[:2]
    lengths = np.full(batch, steps) if sequence_lens is None else np.asarray(sequence_lens)
    first = [_states(array, layout, (directions, batch, hidden), x.dtype) for array in (initial_h, initial_c)]
    given = tuple(first) if operator == "LSTM" else first[0]
    backwards = direction == "reverse"
    y, last = layer.forward(
        _reversed(x, lengths) if backwards else x,
        given,
        lengths=None if sequence_lens is None else lengths,
        training=False,
    )
    y = _reversed(y, lengths) if backwards else y
    y = y.reshape(steps, batch, directions, hidden)
    ends = last if isinstance(last, tuple) else (last,)
    if layout:
        return np.ascontiguousarray(y.swapaxes(0, 1)), *(np.ascontiguousarray(end.swapaxes(0, 1)) for end in ends)
    return np.ascontiguousarray(y.swapaxes(1, 2)), *ends


def _refuse(
    operator: str,
    directions: int,
    p: np.ndarray | None,
    activations: list[str] | None,
    alpha: list[float] | None,
    beta: list[float] | None,
    clip: float | None,
    input_forget: int,
) -> None:
    if p is not None:
        raise ValueError("P: peepholes are not supported")
    if clip:
        raise ValueError("clip: not supported")
    if input_forget:
        raise ValueError("input_forget: not supported")
    named = [name.decode() if isinstance(name, bytes) else name for name in activations or ()]
    wanted = ACTIVATIONS[operator] * directions
    if named and tuple(name.lower() for name in named) != wanted:
        raise ValueError(f"activations: expected {', '.join(wanted)}, got {', '.join(named)}")
    if alpha or beta:
        raise ValueError("activation_alpha, activation_beta: the activations that are supported have none")


def _parameters(order: tuple[int, ...], w: np.ndarray, r: np.ndarray, b: np.ndarray | None) -> dict[str, np.ndarray]:
    """By the core's names, from ONNX's order of gates to ours."""

    def ours(array: np.ndarray) -> np.ndarray:
        blocks = np.split(array, len(order))
        return np.concatenate([blocks[order.index(i)] for i in range(len(order))])

    found = {}
    for direction, suffix in zip(range(len(w)), ("", "_reverse"), strict=False):
        found[f"weight_ih_l0{suffix}"], found[f"weight_hh_l0{suffix}"] = ours(w[direction]), ours(r[direction])
        if b is not None:
            halves = np.split(b[direction], 2)
            found[f"bias_ih_l0{suffix}"], found[f"bias_hh_l0{suffix}"] = ours(halves[0]), ours(halves[1])
    return found


def _states(array: np.ndarray | None, layout: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """(D, B, H), zeros where none are given."""
    if array is None:
        return np.zeros(shape, dtype)
    return np.ascontiguousarray(array.swapaxes(0, 1) if layout else array)


def _reversed(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """x (T, B, n) with the steps of each row of the batch, up to its length, in the opposite order."""
    step = np.arange(len(x))[:, None]
    index = np.where(step < lengths, lengths - 1 - step, step)
    return np.take_along_axis(x, index[:, :, None], axis=0)
