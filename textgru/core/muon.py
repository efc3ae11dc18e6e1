"""Muon: updates of matrices that are made orthogonal, so that every direction is learned at the same pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from textgru.core._products.products import Products
from textgru.core._support.checks import check_integer, check_number
from textgru.core._support.workspace import Workspace
from textgru.core.optim import AdamW
from textgru.core.parameters import Parameters, check_parameters

# Of the polynomial a x + b x^3 + c x^5, which brings singular values between 0 and 1 near 1 (Jordan et al. 2024).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SMALLEST_NORM = 1e-7
MOST_STEPS = 100
STRIPS, FEWEST_ROWS = 4, 48  # of a symmetric product


class Neighbours(Protocol):
    """Equal optimizers of the same parameters, in as many processes, that make the same steps and share their work."""

    number: int  # of this one, from 0
    count: int

    def exchange(self, arrays: Sequence[np.ndarray]) -> None:
        """Gives array i, in place, what it holds at number i % count."""


class Muon(AdamW):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) for some matrices of a
    textgru.core.Parameters, AdamW for all other parameters.

    `matrices`: name -> the number of gates in it: blocks of rows (n, k) that are updated each on its own. A step takes
    m = momentum m + (1 - momentum) g, the direction u = momentum m + (1 - momentum) g (Nesterov), brings its singular
    values near 1 in `ns_steps` Newton-Schulz iterations, and scales the result to a root mean square of `rms` lr
    (Liu et al. 2025, arXiv:2502.16982, equation 4, where it is 0.2). Weight decay is AdamW's, as are `lr`, `betas` and
    `eps`, and the moments of the other parameters. A block's direction is computed at every `period`th step, not of
    all blocks at the same one, and used again in between: it changes as slowly as m. `exp_avg` has m at the place of a
    matrix, `exp_avg_sq` the direction. `precision` and `kernels`: those of the products (textgru.core.Products).
    `neighbours`: who else makes the same steps: each computes a part of the directions, and has the others' from them.

    Raises ValueError for values outside their range, or a name that is no matrix of that many equal blocks, TypeError
    for values that are no numbers.
    """

    _fixed = frozenset({"parameters", "matrices"})

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        matrices: Mapping[str, int],
        momentum: float = 0.9,
        ns_steps: int = 3,
        rms: float = 0.3,
        period: int = 1,
        precision: str = "fp32",
        kernels: str | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        check_parameters(parameters)
        self.matrices = _checked(parameters, matrices)
        others = [name for name in parameters.slices if name not in self.matrices]
        super().__init__(parameters, lr, betas, eps, weight_decay, names=others)
        self.momentum, self.ns_steps, self.rms, self.period = momentum, ns_steps, rms, period
        self._of_matrices()
        self._products = Products(precision, kernels)
        self._room = Workspace(parameters.values.dtype)
        self._neighbours = neighbours

    def step(self, *, lr: float | None = None, gradient_scale: float = 1.0) -> None:
        """One update from `parameters.gradients`, multiplied by gradient_scale first; `lr` replaces the one set.

        Raises ValueError or TypeError, before anything is changed, where a setting or one of the arrays doesn't fit.
        """
        momentum, ns_steps, rms, period = self._of_matrices()
        super().step(lr=lr, gradient_scale=gradient_scale)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite shows in the loss that follows
            self._step_matrices(momentum, ns_steps, rms, period, gradient_scale)

    def _step_matrices(self, momentum: float, ns_steps: int, rms: float, period: int, gradient_scale: float) -> None:
        kept = 1 - self.lr * self.weight_decay
        blocks, neighbours = self._blocks(), self._neighbours
        number, count = (0, 1) if neighbours is None else (neighbours.number, neighbours.count)
        due: list[np.ndarray] = []
        for place, (g, m, direction, _) in enumerate(blocks):
            fresh = self._room.get("fresh", *g.shape)
            np.multiply(g, (1 - momentum) * gradient_scale, out=fresh)
            m *= momentum
            m += fresh
            if self.steps == 1 or (self.steps + place) % period == 0:
                if len(due) % count == number:
                    fresh += momentum * m
                    direction[...] = self._orthogonal(fresh, ns_steps)
                due.append(direction)
        if neighbours is not None:
            neighbours.exchange(due)
        for g, _, direction, w in blocks:
            fresh = self._room.get("fresh", *g.shape)
            np.multiply(direction, -self.lr * rms * max(g.shape) ** 0.5, out=fresh)
            w *= kept
            w += fresh

    def _blocks(self) -> list[tuple[np.ndarray, ...]]:
        """Gradients, moments, directions and weights, each (n, k), of all blocks."""
        arrays = (self.parameters.gradients, self.exp_avg, self.exp_avg_sq, self.parameters.values)
        views = [self.parameters.views(array) for array in arrays]
        return [
            block
            for name, gates in self.matrices.items()
            for block in zip(*(np.split(view[name], gates) for view in views), strict=True)
        ]

    def _orthogonal(self, matrix: np.ndarray, ns_steps: int) -> np.ndarray:
        """A matrix (n, k), its singular values brought near 1; changes it, and what is returned is the object's own."""
        x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        # Adds up block by block: the same bits on any number of threads, which a norm by a BLAS has not.
        norm = float(np.sqrt(np.square(matrix).sum(dtype=np.float64)))
        matrix *= 1 / max(norm, SMALLEST_NORM)
        a, b, c = COEFFICIENTS
        size = x.shape[0]
        gram, square = self._room.get("gram", size, size), self._room.get("square", size, size)
        for step in range(ns_steps):
            self._symmetric(x, x.T, gram)
            self._symmetric(gram, gram, square)
            square *= c
            gram *= b
            square += gram
            square.flat[:: size + 1] += a
            following = self._room.get(f"following {step % 2}", *x.shape)
            self._products.multiply(square, x, following)
            x = following
        return x if matrix.shape[0] <= matrix.shape[1] else x.T

    def _symmetric(self, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
        """out = x y, which is symmetric: what lies below the diagonal is multiplied, strip by strip, and mirrored."""
        size = len(out)
        strip = max(FEWEST_ROWS, -(-size // STRIPS))
        for first in range(0, size, strip):
            last = min(first + strip, size)
            self._products.multiply(x[first:last], y[:, :last], out[first:last, :last])
            out[:first, first:last] = out[first:last, :first].T

    def _of_matrices(self) -> tuple[float, int, float, int]:
        momentum = check_number("momentum", self.momentum, 0.0, 1.0)
        ns_steps, period = (check_integer(name, getattr(self, name), 1, MOST_STEPS) for name in ("ns_steps", "period"))
        return momentum, ns_steps, check_number("rms", self.rms, 0.0), period


def _checked(parameters: Parameters, matrices: Mapping[str, int]) -> dict[str, int]:
    if not isinstance(matrices, Mapping):
        raise TypeError(f"matrices: expected a mapping of names to numbers of gates, got {type(matrices).__name__}")
    for name, gates in matrices.items():
        shape = parameters.shapes.get(name)
        if shape is None or name not in parameters.slices or len(shape) != 2:
            raise ValueError(f"matrices: {name!r} is no matrix of these parameters")
        if shape[0] % check_integer(f"matrices: {name}", gates, 1, max(1, shape[0])):
            raise ValueError(f"matrices: the {shape[0]} rows of {name!r} are no {gates} equal blocks")
    return dict(matrices)
