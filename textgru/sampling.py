"""From scores to a token."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np

from textgru.errors import InputError

GREEDY = 1e-6  # below this temperature the likeliest token alone has any probability


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the scores. Raises InputError for values that can't be.

    `temperature` divides the scores (0: always the likeliest token); `top_k` keeps the k likeliest tokens;
    `top_p` keeps the likeliest tokens until their probabilities reach p (nucleus sampling, Holtzman et al. 2020,
    arXiv:1904.09751, section 3.1). They apply in this order.
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(f"temperature: expected a number from 0 up, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k: expected an integer from 1 up, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p: expected a number above 0, up to 1, got {self.top_p}")

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """The distribution (V,) float64 that a token is drawn from, for scores (V,)."""
        if self.temperature < GREEDY:
            chosen = np.zeros(len(logits))
            chosen[np.argmax(logits)] = 1
            return chosen
        p: np.ndarray = np.exp((logits.astype(np.float64) - logits.max()) / self.temperature)
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
        if self.temperature < GREEDY:
            return int(np.argmax(logits))
        cumulative = np.cumsum(self.probabilities(logits))
        return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
