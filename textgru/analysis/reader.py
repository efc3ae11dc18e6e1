"""Streams of tokens that a network reads side by side, and what it says of each next one."""

from __future__ import annotations

import numpy as np

from textgru.model.ensemble import Packed, session_of
from textgru.model.network import Network


class Reader:
    """Some streams (rows) that a network reads side by side, itself or with packed weights, from a state of zeros."""

    def __init__(self, network: Network | Packed, rows: int) -> None:
        self.network = network
        self.session = None if isinstance(network, Network) else session_of(network, rows)
        self.state = network.initial_state(rows) if isinstance(network, Network) else ()

    def losses(self, window: np.ndarray) -> np.ndarray:
        """The losses (T, B) in nats, float64, of tokens (T + 1, B) intp, each given those before it; the state goes
        on. The first tokens are read and not scored, so that a window begins with the last tokens of the one before."""
        tokens, targets = np.ascontiguousarray(window[:-1]), np.ascontiguousarray(window[1:])
        if self.session is not None:
            return self.session.losses(tokens, targets)
        assert isinstance(self.network, Network)
        losses, self.state = self.network.losses(tokens, targets, self.state)
        return losses

    def scores(self, tokens: np.ndarray) -> np.ndarray:
        """The scores (T, B, V) of the token after each of tokens (T, B) intp; the state goes on."""
        tokens = np.ascontiguousarray(tokens)
        if self.session is None:
            assert isinstance(self.network, Network)
            scores, self.state = self.network.scores(tokens, self.state)
            return scores
        logits = self.session.logits
        scores = np.empty((*tokens.shape, logits.shape[1]), logits.dtype)
        for now, out in zip(tokens, scores, strict=True):
            self.session.step(now)
            out[...] = logits
        return scores

    def last_row(self) -> Reader:
        """The last stream alone, from here on."""
        alone = Reader(self.network, 1)
        state = self.state if self.session is None else self.session.state
        alone.state = tuple(np.ascontiguousarray(array[:, -1:]) for array in state)
        if alone.session is not None:
            alone.session.state = alone.state
        return alone
