"""From scores to a token."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Annotated

import numpy as np

from textgru.errors import TextgruError
from textgru.typed import Range, check_fields

GREEDY = 1e-6  # below this temperature the likeliest token alone has any probability


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the scores. Raises InputError for values that can't be.

    `temperature` divides the scores (0: always the likeliest token); `top_k` keeps the k likeliest tokens;
    `top_p` keeps the likeliest tokens until their probabilities reach p (nucleus sampling, Holtzman et al. 2020,
    arXiv:1904.09751, section 3.1). They apply in this order.
    """

    temperature: Annotated[float, Range(0)] = 0.8
    top_k: Annotated[int | None, Range(1)] = None
    top_p: Annotated[float | None, Range(0, 1, above=True)] = None

    def __post_init__(self) -> None:
        check_fields(self)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """The distribution (V,) float64 that a token is drawn from, for scores (V,).

        Raises TextgruError where the scores make none: with NaN or infinity among them.
        """
        largest = logits.max()
        if not isfinite(largest):
            raise TextgruError("the model gives no finite scores to draw from: its weights are damaged")
        if self.temperature < GREEDY:
            chosen = np.zeros(len(logits))
            chosen[np.argmax(logits)] = 1
            return chosen
        p: np.ndarray = np.exp((logits.astype(np.float64) - largest) / self.temperature)
        if self.top_k is not None and self.top_k < len(p):
            p[np.argsort(-p, kind="stable")[self.top_k :]] = 0
        if self.top_p is not None and self.top_p < 1:
            order = np.argsort(-p, kind="stable")
            before = np.cumsum(p[order]) - p[order]
            p[order[before >= self.top_p * p.sum()]] = 0
        p /= p.sum()
        return p

    @property
    def plain(self) -> bool:
        """Whether a token is drawn from the softmax of all scores, at a temperature above zero."""
        return self.temperature >= GREEDY and self.top_k is None and self.top_p is None

    def draw(self, logits: np.ndarray, rng: np.random.Generator) -> int:
        """A token for scores (V,). Greedy drawing takes nothing from `rng`."""
        p = self.probabilities(logits)
        if self.temperature < GREEDY:
            return int(np.argmax(p))
        cumulative = np.cumsum(p)
        drawn = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
        return min(drawn, int(np.flatnonzero(p)[-1]))  # in case rounding leaves the number at the very end
