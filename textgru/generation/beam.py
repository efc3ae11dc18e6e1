"""Beam search: the likeliest texts, as far as a beam finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from textgru.errors import InputError, TextgruError
from textgru.generation.starts import Start
from textgru.generation.stopping import FinishReason, Stopping
from textgru.model.ensemble import Packed, session_of
from textgru.text.tokenizer import Tokenizer
from textgru.typed import Range, check_fields


@dataclass(frozen=True)
class BeamSettings:
    """`width`: texts that are kept at each step; `n_best`: how many are returned; `length`: the most tokens of each;
    `length_penalty`: the exponent alpha of Wu et al. 2016 (arXiv:1609.08144, equation 14): a text of n tokens scores
    its log-probability / ((5 + n) / 6) ** alpha; 0 compares the probabilities themselves, which favours short texts.

    Raises InputError for values that can't be.
    """

    width: Annotated[int, Range(1, 4096)] = 4
    n_best: Annotated[int, Range(1, 4096)] = 1
    length: Annotated[int, Range(0, 10**6)] = 500
    length_penalty: Annotated[float, Range(0, 100)] = 0.6

    def __post_init__(self) -> None:
        check_fields(self)
        if self.n_best > self.width:
            raise InputError(f"n_best: expected at most the width of the beam, {self.width}, got {self.n_best}")

    def score(self, log_probability: float, tokens: int) -> float:
        """What texts are compared by."""
        return float(log_probability / ((5 + tokens) / 6) ** self.length_penalty)


@dataclass(frozen=True)
class Hypothesis:
    """A text that was found: its new tokens, that which ends a document and those of a stop string included; the
    natural logarithm of its probability; its score; and why it ended."""

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    finish_reason: FinishReason


class StopStrings:
    """What ends a text: `strings`, found in the bytes of its tokens."""

    def __init__(self, strings: Sequence[str], token_bytes: Sequence[bytes]) -> None:
        self._strings, self._bytes = [string.encode("utf-8", "surrogatepass") for string in strings], token_bytes
        self._kept = max(map(len, self._strings)) - 1

    @classmethod
    def of(cls, stopping: Stopping, tokenizer: Tokenizer) -> StopStrings | None:
        """Those of `stopping`, if any. Raises InputError for a tokenizer whose tokens are no text of their own."""
        if not stopping.strings:
            return None
        token_bytes = tokenizer.token_bytes()
        if token_bytes is None:
            raise InputError("stop: with a beam only for models with a char, byte or byte-level bpe tokenizer")
        return cls(stopping.strings, token_bytes)

    def read(self, tail: bytes, token: int) -> tuple[bytes, bool]:
        """What has to be known of a text's end, `tail` before and the first of the tuple after this token, and whether
        a string is complete with it."""
        text = tail + self._bytes[token]
        return text[max(0, len(text) - self._kept) :], any(string in text for string in self._strings)


def beam_search(
    packed: Packed,
    start: Start,
    settings: BeamSettings,
    *,
    eos: int | None = None,
    never: int | None = None,
    stop: StopStrings | None = None,
) -> list[Hypothesis]:
    """The texts with the best scores, the best first; ties in the order of their tokens' ids.

    Probabilities are the network's own, the token `never` left out. A text ends with the token `eos`, with one that
    makes a string of `stop` complete, or after `length` tokens. Fewer than `n_best` where there aren't as many. Raises
    TextgruError where the scores are not finite.
    """
    width = settings.width
    session = session_of(packed, width)
    session.state = tuple(np.ascontiguousarray(np.repeat(array, width, axis=1)) for array in start.state)
    tokens = np.full(width, start.token, np.intp)
    totals = np.full(width, -np.inf)  # of rows that stand for no text yet: all begin as the same one
    totals[0] = 0.0
    walked: list[tuple[np.ndarray, np.ndarray]] = []  # at each step: each row's token, and the row that it came from
    finished: list[Hypothesis] = []
    tails = [b""] * width  # of each row's text, where there are stop strings

    def keep(row: int, last: tuple[int, ...], total: float, reason: FinishReason) -> None:
        path = _path(walked, row) + last
        finished.append(Hypothesis(path, total, settings.score(total, len(path)), reason))
        finished.sort(key=lambda found: (-found.score, found.tokens))
        del finished[settings.n_best :]

    for _ in range(settings.length):
        session.step(tokens)
        candidates = totals[:, None] + _log_softmax(session.logits, never)
        going: list[tuple[int, int]] = []
        following: list[bytes] = []
        for seen, (row, token) in enumerate(_ranked(candidates, 2 * width)):  # at most `width` of them end with `eos`
            if seen >= 2 * width and len(going) == width:
                break
            tail, stops = (b"", False) if stop is None or token == eos else stop.read(tails[row], token)
            if stops or token == eos:
                keep(row, (token,), float(candidates[row, token]), "stop" if stops else "eos")
            elif len(going) < width:
                going.append((row, token))
                following.append(tail)
        if not going:
            break
        rows = np.array([row for row, _ in going] + [going[0][0]] * (width - len(going)), np.intp)
        tokens = np.array([token for _, token in going] + [going[0][1]] * (width - len(going)), np.intp)
        totals = candidates[rows, tokens]
        totals[len(going) :] = -np.inf
        tails = following + [b""] * (width - len(going))
        walked.append((tokens, rows))
        session.reorder(rows)
        best_still = settings.score(float(totals[0]), settings.length)  # no text that goes on can score more
        if len(finished) == settings.n_best and finished[-1].score >= best_still:
            return finished
    else:
        for row in np.flatnonzero(totals > -np.inf).tolist():
            keep(row, (), float(totals[row]), "length")
    return finished


def _log_softmax(logits: np.ndarray, never: int | None) -> np.ndarray:
    """The natural logarithms (B, V) float64 of the probabilities."""
    scores = logits.astype(np.float64)
    largest = scores.max(axis=1, keepdims=True)
    if not np.isfinite(largest).all():
        raise TextgruError("the model gives no finite scores to search with: its weights are damaged")
    scores -= largest
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    if never is not None:
        scores[:, never] = -np.inf
    return scores


def _ranked(candidates: np.ndarray, at_first: int) -> Iterator[tuple[int, int]]:
    """The row and column of each number of candidates (B, V), the largest first; none that is -infinity. Quick as long
    as no more than `at_first` are wanted."""
    for begin, most in ((0, at_first), (at_first, candidates.size)):
        rows, columns = _best(candidates, most)
        yield from zip(rows[begin:].tolist(), columns[begin:].tolist(), strict=True)


def _best(candidates: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns of the largest numbers of candidates (B, V), the largest first; none that is -infinity."""
    flat = candidates.ravel()
    most = min(most, flat.size)
    least = np.partition(flat, flat.size - most)[flat.size - most]
    places = np.flatnonzero((flat >= least) & (flat > -np.inf))
    places = places[np.argsort(-flat[places], kind="stable")][:most]
    return np.divmod(places, candidates.shape[1])


def _path(walked: list[tuple[np.ndarray, np.ndarray]], row: int) -> tuple[int, ...]:
    """The tokens that led to a row."""
    path = []
    for tokens, rows in reversed(walked):
        path.append(int(tokens[row]))
        row = int(rows[row])
    return tuple(reversed(path))
