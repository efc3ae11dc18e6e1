"""Deprecated: TokenStep, one row of tokens. Use textgru.core.PackedNetwork and Session."""

from __future__ import annotations

import warnings

import numpy as np

from textgru.core._stepping.packed_network import PackedNetwork
from textgru.core._stepping.session import Session
from textgru.core.layers import Linear
from textgru.core.recurrent import Recurrent


class TokenStep:
    """Deprecated: a Session of one row, over weights packed for it alone.

    `state` (L, H) and `logits` (V,) are arrays that a step writes; the state may be set in place. Arguments, results
    and what is raised: PackedNetwork and Session.
    """

    def __init__(
        self, embedding: np.ndarray, gru: Recurrent[np.ndarray], output: Linear, *, precision: str = "fp32"
    ) -> None:
        warnings.warn(
            "textgru.core.step.TokenStep is deprecated; use textgru.core.PackedNetwork and Session",
            DeprecationWarning,
            stacklevel=2,
        )
        self._session = Session(PackedNetwork(embedding, gru, output, precision=precision))
        self.precision = precision
        self.state: np.ndarray = self._session.state[0][:, 0].copy()
        self.logits: np.ndarray = self._session.logits[0].copy()

    def step(self, token: int) -> None:
        """Reads a token."""
        self._begin()
        self._session.step(token)
        self._end()

    def generate(self, token: int, u: np.ndarray, temperature: float, never: int = -1) -> np.ndarray:
        """Reads a token, draws the next one and reads it, and so on: len(u) new tokens."""
        self._begin()
        drawn = self._session.generate(token, u, temperature, never)
        self._end()
        return drawn

    def losses(self, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Reads tokens (n,); the negative log-likelihood of each target (n,) after its token."""
        self._begin()
        losses = self._session.losses(tokens, targets)
        self._end()
        return losses

    def draw(self, temperature: float, u: float) -> int:
        """A token drawn from softmax(logits / temperature)."""
        self._session.logits[0] = self.logits
        return int(self._session.draw(temperature, u))

    def _begin(self) -> None:
        self._session.state = (np.ascontiguousarray(self.state[:, None]),)

    def _end(self) -> None:
        self.state[...] = self._session.state[0][:, 0]
        self.logits[...] = self._session.logits[0]
