"""What textgru score finds of lines and texts, over several processes if mpiexec started them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from textgru.analysis.line_scores import LineScore
from textgru.analysis.quality import CONTEXT, SHORTEST_PART
from textgru.analysis.surprisal import Surprisals, in_windows, read_part
from textgru.cli.over_ranks import ranks, work_shared
from textgru.distributed.ranks import Ranks
from textgru.language_model import LanguageModel

MOST_LIKELIEST = 1 << 22  # that a rank finds at a time

Tokens = np.ndarray  # (n,), or what is found of them


@contextmanager
def line_scores(model: LanguageModel) -> Iterator[Callable[[list[str]], list[LineScore]]]:
    """What scores lines, as LanguageModel.score_lines does: all ranks share them."""
    size = ranks().size
    if size == 1:
        yield model.score_lines
        return
    with work_shared(_Lines(model)) as ask:

        def score(lines: list[str]) -> list[LineScore]:
            found = ask(lines)
            return [found[number % size][number // size] for number in range(len(lines))]

        yield score


@dataclass(frozen=True)
class _Lines:
    """What scores a rank's lines: one of as many as there are ranks, so that all have long and short ones."""

    model: LanguageModel

    def __call__(self, ranks: Ranks, lines: list[str]) -> list[LineScore]:
        return self.model.score_lines(lines[ranks.rank :: ranks.size])


@contextmanager
def parts_of(model: LanguageModel, blocks: Iterable[str], top: int, *, dynamic: bool) -> Iterator[Iterator[Surprisals]]:
    """The surprisals of a text that comes in blocks, part by part. Of a long one each rank reads its share, after the
    CONTEXT tokens before it, as textgru eval does; `dynamic` weights follow it on rank 0 alone."""
    tokens, size = model.tokenizer.encode_blocks(blocks), ranks().size
    if size == 1 or dynamic:
        yield model.stream_surprisals(tokens, top=top, dynamic=dynamic)
        return
    top = min(top, model.tokenizer.vocab_size)
    part = max(CONTEXT, min(SHORTEST_PART, MOST_LIKELIEST // max(1, top)))
    with work_shared(_Part(model, part, top)) as ask:
        yield in_windows(_Parts(ask), model.tokenizer, _windows(tokens, part * size), top)


class _Parts:
    """A WindowReader of windows that all ranks share."""

    def __init__(self, ask: Callable[[tuple[Tokens, Tokens, Tokens]], list[tuple[Tokens, ...]]]) -> None:
        self._ask, self._before = ask, np.empty(0, np.intp)

    def read(self, tokens: Tokens, targets: Tokens, top: int) -> tuple[Tokens, Tokens, Tokens]:
        found = self._ask((self._before, tokens, targets))
        self._before = np.concatenate([self._before, tokens])[-CONTEXT:]
        losses, likeliest, probabilities = map(np.concatenate, zip(*found, strict=True))
        return losses, likeliest, probabilities


@dataclass(frozen=True)
class _Part:
    """What reads a rank's share of a window: nothing of one shorter than two parts, which rank 0 reads."""

    model: LanguageModel
    part: int
    top: int

    def __call__(self, ranks: Ranks, asked: tuple[Tokens, Tokens, Tokens]) -> tuple[Tokens, ...]:
        before, tokens, targets = asked
        share = ranks.share(len(tokens))
        if len(tokens) < 2 * self.part:
            share = slice(0, 0 if ranks.rank else len(tokens))
        context = np.concatenate([before, tokens[: share.start]])[-CONTEXT:]
        return read_part(self.model.packed(), context, tokens[share], targets[share], self.top)


def _windows(arrays: Iterable[Tokens], size: int) -> Iterator[Tokens]:
    """Arrays of tokens (n,) as intp and as long as `size`, but for the last."""
    held: list[Tokens] = []
    for array in arrays:
        held.append(array.astype(np.intp))
        while sum(map(len, held)) >= size:
            whole = np.concatenate(held)
            yield whole[:size]
            held = [whole[size:]]
    if any(map(len, held)):
        yield np.concatenate(held)
