"""Tokens drawn for several texts side by side, each the same as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from textgru.core import Sampler
from textgru.errors import TextgruError
from textgru.generation.constraints import Matcher
from textgru.generation.likeliest import likeliest
from textgru.generation.sampling import NOT_FINITE, NOTHING_LEFT, Sampling
from textgru.model.ensemble import AnySession, Packed, session_of

FEW_AT_A_TIME, LONGEST_AT_A_TIME = 16, 0.01  # tokens, seconds: drawn in one call; more tokens while it is shorter
TOO_LONG = 0.03  # seconds, for those who wait for a call: fewer tokens, of a large network
FEWEST_KEPT = 1024  # tokens at the end of a text

Arrays = tuple[np.ndarray, ...]


@dataclass
class Memory:
    """What is known of a text: its last `tokens` (n,) intp, the very last one included; how many of all were `drawn`;
    and Mirostat's bound `mu`, in bits, None where it isn't used yet."""

    tokens: np.ndarray
    drawn: int = 0
    mu: float | None = None


@dataclass
class Row:
    """A text that tokens are drawn for.

    `state`: a tuple of arrays (L, 1, H), the network's state after all its tokens but the last; `token`: the last one,
    which is not read yet; `rng`: its own random numbers; `memory`: what is known of the text; `matcher`: what it has to
    match, if anything.
    """

    state: Arrays
    token: int
    rng: np.random.Generator
    memory: Memory
    matcher: Matcher | None = None
    drawn: list[int] = field(default_factory=list)  # in the last call
    log_probabilities: list[float] = field(default_factory=list)  # theirs, where they were asked for
    _before: tuple[Arrays, int, Memory, Any] | None = None  # with the random state, before those were drawn


class Draws:
    """Draws tokens for rows that may come and go. What is drawn for a row depends on its state, its last token, its
    memory and its random numbers alone: not on the other rows, the number of threads, or how many are drawn in a call.

    Each token takes one number from its row's `rng` (none where the likeliest is taken). The token `never`, where
    given, is not drawn; `eos` ends a document. `constrained`: all rows have a matcher. Raises InputError for sampling
    controls with tokens that aren't there.
    """

    def __init__(
        self,
        packed: Packed,
        sampling: Sampling,
        *,
        never: int | None = None,
        eos: int | None = None,
        constrained: bool = False,
    ) -> None:
        self._constrained = constrained
        self.packed, self.sampling, self.never, self.eos = packed, sampling, never, eos
        self._kept = max(FEWEST_KEPT, sampling.penalty_last_n, sampling.dry_penalty_last_n)
        self._at_a_time = FEW_AT_A_TIME
        self._rows: list[Row] = []  # that the session holds, as they are now
        self._session, self._sampler = self._room(1)
        self._scorer: AnySession | None = None

    def draw(self, rows: Sequence[Row], most: int, *, log_probabilities: bool = False) -> int:
        """Draws up to `most` tokens for each row, as many as take a hundredth of a second, or one where they have to
        match something, and returns how many. Where asked for, with the natural logarithms of the network's
        probabilities for them, in the softmax of all its scores, without any sampling control.

        Raises TextgruError where the scores make no distribution.
        """
        n = 1 if self._constrained else min(self._at_a_time, most)
        if len(rows) != len(self._rows) or any(a is not b for a, b in zip(rows, self._rows, strict=True)):
            if self._session.rows != len(rows):
                self._session, self._sampler = self._room(len(rows))
            self._hold(self._session, self._sampler, rows)
        self._rows = []  # until all is well
        for row in rows:
            row._before = (row.state, row.token, row.memory, row.rng.bit_generator.state)
        began = perf_counter()
        drawn, losses = self._tokens(self._session, self._sampler, rows, n, log_probabilities)
        seconds = perf_counter() - began
        if seconds < LONGEST_AT_A_TIME / 2:
            self._at_a_time *= 2
        elif seconds > TOO_LONG:
            self._at_a_time = max(1, n // 2)
        self._take(self._session, self._sampler, rows, drawn)
        for row, logs in zip(rows, [] if losses is None else (-losses.T).tolist(), strict=losses is not None):
            row.log_probabilities = logs
        self._rows = list(rows)
        return n

    def fewer(self) -> None:
        """Few tokens at a time again: texts turn out to be short."""
        self._at_a_time = min(self._at_a_time, FEW_AT_A_TIME)

    def take_back(self, row: Row, used: int) -> None:
        """Makes a row what it was after the first `used` of the tokens that were drawn for it last."""
        if used >= len(row.drawn):
            return
        assert row._before is not None
        row.state, row.token, row.memory, row.rng.bit_generator.state = row._before
        row.drawn, self._rows = [], []
        if used:
            session, sampler = self._room(1)
            self._hold(session, sampler, [row])
            self._take(session, sampler, [row], self._tokens(session, sampler, [row], used)[0])

    def alternatives(self, rows: Sequence[Row], top: int) -> tuple[np.ndarray, np.ndarray]:
        """The `top` likeliest tokens (n, B, top) intp where those were drawn that were drawn last, the likeliest first,
        with the natural logarithms of their probabilities (n, B, top) float64. Reads the tokens once more."""
        before = [row._before for row in rows if row._before is not None]
        if self._scorer is None or self._scorer.rows != len(rows):
            self._scorer = session_of(self.packed, len(rows))
        self._scorer.state = _together([state for state, *_ in before])
        tokens = np.array([[token, *row.drawn[:-1]] for row, (_, token, *_) in zip(rows, before, strict=True)], np.intp)
        shape = (tokens.shape[1], len(rows), min(top, self.packed.vocab_size))
        ids, logs = np.empty(shape, np.intp), np.empty(shape)
        for t, read in enumerate(tokens.T.copy()):
            self._scorer.step(read)
            ids[t], logs[t], _ = likeliest(self._scorer.logits, shape[-1])
        return ids, logs

    def _room(self, rows: int) -> tuple[AnySession, Sampler | None]:
        """What draws for this many rows."""
        sampler = None
        if self._constrained or not self.sampling.plain:
            sampler = self.sampling.sampler(self.packed.vocab_size, rows, never=self.never, eos=self.eos)
        return session_of(self.packed, rows), sampler

    def _hold(self, session: AnySession, sampler: Sampler | None, rows: Sequence[Row]) -> None:
        session.state = _together([row.state for row in rows])
        if sampler is not None:
            begin = 2 * self.sampling.mirostat_tau
            memories = [row.memory for row in rows]
            sampler.recall([(one.tokens, one.drawn, begin if one.mu is None else one.mu) for one in memories])

    def _tokens(
        self, session: AnySession, sampler: Sampler | None, rows: Sequence[Row], n: int, return_losses: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """n tokens (n, B) for each row of the session, which reads all but the last, and their losses (n, B) or
        None."""
        tokens = np.array([row.token for row in rows], np.intp)
        if self.sampling.greedy:
            u = np.zeros((n, len(rows)))
        else:
            u = np.ascontiguousarray(np.stack([row.rng.random(n) for row in rows], axis=1))
        never = -1 if self.never is None else self.never
        try:
            if self._constrained:
                assert sampler is not None
                drawn = self._matching(session, sampler, rows, tokens, u[0])[None]
                return drawn, _losses(session.logits, drawn[0])[None] if return_losses else None
            temperature = self.sampling.temperature or 1.0
            if return_losses:
                return session.generate(tokens, u, temperature, never, sampler=sampler, return_losses=True)
            return session.generate(tokens, u, temperature, never, sampler=sampler), None
        except ValueError as error:
            raise TextgruError(NOTHING_LEFT if self.sampling.banned else NOT_FINITE) from error

    def _matching(
        self, session: AnySession, sampler: Sampler, rows: Sequence[Row], tokens: np.ndarray, u: np.ndarray
    ) -> np.ndarray:
        """A token (B,) for each row, after these (B,). Where the text may end it is drawn from all of them: one that
        doesn't go on with a match ends it, as the model itself would."""
        session.step(tokens)
        logits = np.array(session.logits)
        for row, scores in zip(rows, logits, strict=True):
            assert row.matcher is not None
            allowed = row.matcher.allowed()
            may_end = row.matcher.accepts and (row.memory.drawn >= self.sampling.min_tokens or not allowed.any())
            if not may_end:
                scores[~allowed] = -np.inf
        drawn = sampler.draw(logits, u)
        for row, token in zip(rows, drawn.tolist(), strict=True):
            assert row.matcher is not None
            row.matcher.read(token)
        return drawn

    def _take(self, session: AnySession, sampler: Sampler | None, rows: Sequence[Row], drawn: np.ndarray) -> None:
        """Makes the rows what they are after these tokens (n, B)."""
        states = session.state
        memories = sampler.memory() if sampler is not None and self.sampling.mirostat_tau else None
        for i, row in enumerate(rows):
            row.state = tuple(state[:, i : i + 1] for state in states)
            row.drawn = drawn[:, i].tolist()
            row.token = row.drawn[-1]
            tokens = np.concatenate([row.memory.tokens, drawn[:, i]])[-self._kept :]
            row.memory = Memory(tokens, row.memory.drawn + len(drawn), None if memories is None else memories[i][2])


def _losses(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The negative log-likelihood (B,) float64 of tokens (B,) in the softmax of scores (B, V)."""
    scores = logits.astype(np.float64)
    largest = scores.max(axis=1)
    of_all = largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1))
    return np.asarray(of_all - scores[np.arange(len(tokens)), tokens])


def _together(states: Sequence[Arrays]) -> Arrays:
    """States (L, 1, H) of rows as one (L, B, H)."""
    return tuple(
        np.ascontiguousarray(np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0])
        for parts in zip(*states, strict=True)
    )


def read_prompt(packed: Packed, tokens: np.ndarray, state: Arrays | None = None) -> Arrays:
    """The state, arrays (L, 1, H), after all of the tokens (n,) intp but the last; before them it was `state`, or
    zeros."""
    session = session_of(packed)
    if state is not None:
        session.state = tuple(np.ascontiguousarray(array) for array in state)
    session.read(tokens[:-1])
    return session.state


def draw_tokens(
    packed: Packed,
    prompt: np.ndarray,
    length: int,
    sampling: Sampling,
    rng: np.random.Generator,
    *,
    never: int | None = None,
    eos: int | None = None,
) -> Iterator[int]:
    """Yields `length` tokens drawn one after another, following the tokens (n,) intp of the prompt, n at least 1.

    Where it is closed early, `rng` is left as after the tokens that were yielded.
    """
    draws = Draws(packed, sampling, never=never, eos=eos)
    row = Row(read_prompt(packed, prompt), int(prompt[-1]), rng, Memory(prompt))
    while length > 0:
        length -= draws.draw([row], length)
        used = 0
        try:
            for token in row.drawn:
                used += 1
                yield token
        finally:
            draws.take_back(row, used)
