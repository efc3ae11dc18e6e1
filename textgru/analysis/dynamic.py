"""Dynamic evaluation: the weights follow the text as it is read, so that what came is expected to come again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from textgru.analysis.evaluate import Score
from textgru.analysis.surprisal import Surprisals, in_windows, of_scores
from textgru.core import AdamW
from textgru.errors import TextgruError
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer
from textgru.typed import Range, check_fields


@dataclass(frozen=True)
class DynamicSettings:
    """`rate`: how far a weight moves at a step, about; `segment`: its tokens; `clip`: the most norm of a gradient.

    Raises InputError for values that can't be.
    """

    rate: Annotated[float, Range(0)] = 5e-4
    segment: Annotated[int, Range(1, 1 << 20)] = 64
    clip: Annotated[float, Range(0, above=True)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)


def follower_of(network: Network) -> Network:
    """A copy of a network whose weights can follow a text, without dropout."""
    copy = Network(replace(network.config, dropout=0.0, input_dropout=0.0, weight_dropout=0.0), seed=0)
    copy.parameters.values[...] = network.parameters.values
    return copy


class Follower:
    """A network without dropout (follower_of) that reads one text segment by segment, from a state of zeros, and learns
    each after it has been scored: its weights change.

    Krause et al. 2018 (arXiv:1709.07432) divide a gradient by the root mean square of earlier ones, from the training;
    here it is that of the text so far, as in Adam without momentum (Kingma and Ba 2015, arXiv:1412.6980). Nothing
    draws the weights back.
    """

    def __init__(self, network: Network, settings: DynamicSettings | None = None) -> None:
        self.network, self.settings = network, settings or DynamicSettings()
        self._optimizer = AdamW(network.parameters, self.settings.rate, (0.0, 0.999), 1e-8, 0.0)
        self._state, self._read = network.initial_state(1), 0

    def learn(self, tokens: np.ndarray, targets: np.ndarray) -> float:
        """The mean loss of targets (n,), which follow tokens (n,) intp, before the weights learn them. Raises
        TextgruError where it is no longer finite."""
        parameters = self.network.parameters
        loss, self._state = self.network.loss_and_grad(_column(tokens), _column(targets), self._state)
        norm = float(np.linalg.norm(parameters.gradients))
        if not (np.isfinite(loss) and np.isfinite(norm)):
            raise TextgruError(f"token {self._read + 1:,}: the loss is no longer finite; try a lower rate")
        self._optimizer.step(gradient_scale=min(1.0, self.settings.clip / max(norm, 1e-12)))
        self._read += len(tokens)
        return loss

    def read(self, tokens: np.ndarray, targets: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What textgru.analysis.surprisal.WindowReader.read says; then the weights learn it."""
        if top:
            scores, _ = self.network.scores(_column(tokens), self._state)
            found = of_scores(scores[:, 0], targets, top)
        else:
            losses, _ = self.network.losses(_column(tokens), _column(targets), self._state)
            found = losses[:, 0], np.zeros((len(tokens), 0), np.intp), np.zeros((len(tokens), 0))
        self.learn(tokens, targets)
        return found


def follow_text(
    network: Network,
    tokens: np.ndarray,
    settings: DynamicSettings | None = None,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Reads tokens (n,), n at least 2, as Follower does.

    Raises ValueError for fewer than two tokens, TextgruError where the loss is no longer finite.
    """
    targets = len(tokens) - 1
    if targets < 1:
        raise ValueError(f"tokens: expected at least 2, got {len(tokens)}")
    follower, total = Follower(network, settings), 0.0
    segment = follower.settings.segment
    for first in range(0, targets, segment):
        part = tokens[first : first + segment + 1]
        total += follower.learn(part[:-1], part[1:]) * (len(part) - 1)
        if on_progress is not None:
            on_progress(min(first + segment, targets), targets)
    return Score(total / targets, targets)


def followed_surprisals(
    network: Network,
    tokenizer: Tokenizer,
    tokens: Iterable[np.ndarray],
    settings: DynamicSettings | None = None,
    *,
    top: int = 0,
) -> Iterator[Surprisals]:
    """As textgru.analysis.surprisal.surprisals, by a network (follower_of) whose weights follow the text."""
    follower = Follower(network, settings)
    top = min(top, network.config.vocab_size)
    return in_windows(follower, tokenizer, _segments(tokens, follower.settings.segment), top)


def _column(tokens: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(tokens, np.intp)[:, None]


def _segments(arrays: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Arrays (n,) as one text, in windows of `size` targets, whatever their own lengths: the first has a token more."""
    waiting, wanted = np.empty(0, np.intp), size + 1
    for array in arrays:
        waiting = np.concatenate([waiting, array.astype(np.intp)])
        while len(waiting) >= wanted:
            yield waiting[:wanted]
            waiting, wanted = waiting[wanted:], size
    if len(waiting):
        yield waiting
