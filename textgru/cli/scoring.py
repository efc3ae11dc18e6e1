"""What textgru score finds of lines and texts, over several processes if mpiexec started them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from textgru.analysis.line_scores import LineScore
from textgru.analysis.surprisal import Surprisals
from textgru.cli.over_ranks import ranks, work_shared
from textgru.distributed.ranks import Ranks
from textgru.language_model import LanguageModel


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
    """The surprisals of a text that comes in blocks, part by part: each needs the state after the one before it, so
    that rank 0 reads it alone."""
    yield model.stream_surprisals(model.tokenizer.encode_blocks(blocks), top=top, dynamic=dynamic)
