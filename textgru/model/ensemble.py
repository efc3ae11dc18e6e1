"""Several networks as one: what is predicted is the mean of their probabilities."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal, TypeAlias, overload

import numpy as np

from textgru.core import PackedNetwork, Sampler, Session, softmax_cross_entropy

WORD = struct.Struct("<Q")  # before the state of each: its bytes


class Ensemble:
    """Packed networks of one vocabulary whose predictions are averaged: P(token) is the mean of theirs, which is what
    `logits` of its sessions are the logarithm of. The state is the states of all, one after the other."""

    def __init__(self, members: Sequence[PackedNetwork]) -> None:
        self.members = tuple(members)
        if len({(one.vocab_size, one.dtype) for one in self.members}) != 1:
            raise ValueError("members: expected networks of one vocabulary and dtype, at least one")

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.members[0].vocab_size

    @property
    def dtype(self) -> np.dtype:
        """That of the scores."""
        return self.members[0].dtype


class EnsembleSession:
    """What textgru.core.Session is, for an ensemble; the methods' arguments, results and errors are the same."""

    def __init__(self, packed: Ensemble, rows: int = 1) -> None:
        self.packed, self.rows = packed, rows
        self._sessions = [Session(one, rows) for one in packed.members]
        self.logits = np.zeros((rows, packed.vocab_size), packed.dtype)

    @property
    def state(self) -> tuple[np.ndarray, ...]:
        """The arrays (L, B, H) of the first network's state, then the next one's."""
        return tuple(array for session in self._sessions for array in session.state)

    @state.setter
    def state(self, arrays: Sequence[np.ndarray]) -> None:
        own, rest = [], list(arrays)
        for one in self.packed.members:
            own.append(tuple(rest[: len(one.states)]))
            rest = rest[len(one.states) :]
        for session, state in zip(self._sessions, own, strict=True):
            session.state = state

    def save_state(self) -> bytes:
        """The states as bytes, for load_state."""
        states = [session.save_state() for session in self._sessions]
        return b"".join(WORD.pack(len(state)) + state for state in states)

    def load_state(self, data: bytes) -> None:
        """Sets the state to one that save_state gave. Raises ValueError for another's, and for damaged bytes."""
        for session in self._sessions:
            if len(data) < WORD.size:
                raise ValueError("state: expected the states of all networks of an ensemble; some are missing")
            (size,) = WORD.unpack_from(data)
            session.load_state(data[WORD.size : WORD.size + size])
            data = data[WORD.size + size :]

    def reorder(self, rows: np.ndarray) -> None:
        """Row i becomes what row rows[i] was."""
        for session in self._sessions:
            session.reorder(rows)
        self.logits[...] = self.logits[rows]

    def step(self, tokens: np.ndarray | int) -> None:
        """Each row reads a token."""
        for session in self._sessions:
            session.step(tokens)
        self.logits[...] = log_mean([session.logits for session in self._sessions])

    def read(self, tokens: np.ndarray) -> None:
        """Each row reads tokens (T, B)."""
        for session in self._sessions:
            session.read(tokens)

    def losses(self, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Each row reads tokens (T, B): the negative log-likelihood of the targets."""
        found = np.stack([session.losses(tokens, targets) for session in self._sessions])
        least = found.min(axis=0)
        return np.asarray(least - np.log(np.exp(least - found).mean(axis=0)))

    @overload
    def generate(
        self,
        tokens: np.ndarray,
        u: np.ndarray,
        temperature: float = ...,
        never: int = ...,
        *,
        sampler: Sampler | None = ...,
        return_losses: Literal[False] = ...,
    ) -> np.ndarray: ...
    @overload
    def generate(
        self,
        tokens: np.ndarray,
        u: np.ndarray,
        temperature: float = ...,
        never: int = ...,
        *,
        sampler: Sampler | None = ...,
        return_losses: Literal[True],
    ) -> tuple[np.ndarray, np.ndarray]: ...
    def generate(
        self,
        tokens: np.ndarray,
        u: np.ndarray,
        temperature: float = 1.0,
        never: int = -1,
        *,
        sampler: Sampler | None = None,
        return_losses: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """len(u) new tokens (n, B) for the rows, drawn as by a sampler."""
        if sampler is None:
            sampler = Sampler(
                self.packed.vocab_size, self.rows, temperature=temperature, banned=[never] if never >= 0 else []
            )
        drawn, losses = np.empty(u.shape, np.intp), np.empty(u.shape)
        for numbers, out, loss in zip(u, drawn, losses, strict=True):
            self.step(tokens)
            tokens = sampler.draw(self.logits, numbers)
            out[...] = tokens
            if return_losses:
                loss[...] = softmax_cross_entropy(self.logits, tokens)
        return (drawn, losses) if return_losses else drawn


# What predicts the next token with weights that stay as they are, and where it stands in some texts.
Packed: TypeAlias = PackedNetwork | Ensemble
AnySession: TypeAlias = Session | EnsembleSession


def session_of(packed: Packed, rows: int = 1) -> AnySession:
    """A session with so many rows, from a state of zeros."""
    return EnsembleSession(packed, rows) if isinstance(packed, Ensemble) else Session(packed, rows)


def log_mean(logits: Sequence[np.ndarray]) -> np.ndarray:
    """The logarithm (B, V) of the mean of the softmaxes of scores (B, V) each, in float64."""
    logs = []
    for scores in logits:
        shifted = scores.astype(np.float64)
        shifted -= shifted.max(axis=-1, keepdims=True)
        logs.append(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
    together = np.stack(logs)
    most = together.max(axis=0)
    return np.asarray(most + np.log(np.exp(together - most).mean(axis=0)))
