"""How much of the gradient comes through the steps, and by which of a GRU's gates."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from textgru.core import GRU, LSTM, RNN

CELLS: dict[str, Any] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
UNITS, INPUTS, BATCH, STEPS = 64, 16, 32, 100
DISTANCES = (1, 2, 5, 10, 20, 50, 100)
PATHS = ("update gate's carry", "candidate", "by the reset gate", "by the update gate")
BIASES = (0.0, 1.0, 3.0)  # of a GRU's update gate: the larger, the longer it keeps at first


def norms(cell: str, bias: float = 0.0) -> dict[str, float]:
    """Of d loss / d h_{T-k} over that of d loss / d h_T, for random inputs and the initial weights, by k: through the
    core's own backward pass, from the state k steps before the end."""
    layer = made(cell, bias)
    x = np.random.default_rng(1).standard_normal((STEPS, BATCH, INPUTS))
    upstream = np.random.default_rng(2).standard_normal((1, BATCH, UNITS))
    found = {}
    for k in DISTANCES:
        state = None
        if k < STEPS:
            _, state = layer.forward(x[: STEPS - k], training=False)
        layer.forward(np.ascontiguousarray(x[STEPS - k :]), state)
        last = (upstream, np.zeros_like(upstream)) if cell == "LSTM" else upstream
        _, first = layer.backward(np.zeros((k, BATCH, UNITS)), last, input_gradient=False)
        arrays = first if cell == "LSTM" else (first,)
        found[str(k)] = float(np.sqrt(sum((a**2).sum() for a in arrays)) / np.linalg.norm(upstream))
    return found


def made(cell: str, bias: float) -> Any:
    layer = CELLS[cell](INPUTS, UNITS, seed=0, dtype=np.float64)
    if cell != "RNN":  # the second gate: the LSTM's forget gate, the GRU's update gate
        layer.parameters["bias_ih_l0"][UNITS : 2 * UNITS] = bias
    return layer


def gate_by_gate(bias: float = 0.0) -> dict[str, Any]:
    """Of a GRU: the length of the part of d h_{t-1} that comes by each of the four ways from h_{t-1} to h_t, over that
    of the whole, on average over the steps. Written out in NumPy, and held against the core's gradient."""
    layer = made("GRU", bias)
    x = np.random.default_rng(1).standard_normal((STEPS, BATCH, INPUTS))
    _, _, gates = layer.forward(x, return_gates=True)
    r, z, n, h = (gates[0][name] for name in "rznh")
    w = layer.parameters["weight_hh_l0"]
    w_r, w_z, w_n = w[:UNITS], w[UNITS : 2 * UNITS], w[2 * UNITS :]
    b_n = layer.parameters["bias_hh_l0"][2 * UNITS :]
    d = np.random.default_rng(2).standard_normal((BATCH, UNITS))
    upstream, shares = d[None].copy(), []
    for t in reversed(range(STEPS)):
        before = h[t - 1] if t else np.zeros_like(h[0])
        d_n = d * (1 - z[t]) * (1 - n[t] ** 2)
        parts = [
            d * z[t],
            (d_n * r[t]) @ w_n,
            (d_n * (before @ w_n.T + b_n) * r[t] * (1 - r[t])) @ w_r,
            (d * (before - n[t]) * z[t] * (1 - z[t])) @ w_z,
        ]
        d = sum(parts)
        shares.append([np.linalg.norm(part) / np.linalg.norm(d) for part in parts])
    _, first = layer.backward(np.zeros((STEPS, BATCH, UNITS)), upstream, input_gradient=False)
    difference = float(np.abs(first[0] - d).max() / np.abs(d).max())
    if not difference < 1e-9:
        raise SystemExit(f"the gradient written out differs from the core's by {difference:.1g}")
    return dict(zip(PATHS, np.mean(shares, axis=0).tolist(), strict=True))


def measure(_: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"norms": {"RNN": norms("RNN")}, "paths": {}}
    for bias in BIASES:
        found["norms"][f"LSTM, forget bias {bias:g}"] = norms("LSTM", bias)
        found["norms"][f"GRU, update bias {bias:g}"] = norms("GRU", bias)
        found["paths"][f"update bias {bias:g}"] = gate_by_gate(bias)
    return found


def table(found: dict[str, Any]) -> list[list[str]]:
    rows = [["d loss / d h, k steps back", *map(str, DISTANCES)]]
    rows += [[name, *(f"{value:.2g}" for value in by.values())] for name, by in found["norms"].items()]
    for name, parts in found["paths"].items():
        told = [f"{path} {part:.2f}" for path, part in parts.items()]
        rows.append([f"GRU, {name}: a step's parts", *told, *[""] * (len(DISTANCES) - len(told))])
    return rows


def plot(found: dict[str, Any]) -> Any:
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6.5, 3.6))
    for name, by in found["norms"].items():
        style = {"R": "k", "L": "--", "G": "-"}[name[0]]
        axis.plot([int(k) for k in by], list(by.values()), style, label=name)
    axis.set(xscale="log", yscale="log", xlabel="steps back", ylabel="gradient left, of 1", ylim=(1e-12, 3))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure
