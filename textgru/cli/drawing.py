"""Texts that are drawn by several processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat
from time import monotonic
from typing import Any

from textgru.cli.over_ranks import ranks, work_shared
from textgru.distributed.ranks import Ranks
from textgru.generation.generate import Piece, Pieces
from textgru.generation.state import State
from textgru.language_model import LanguageModel

AT_A_TIME = 0.1  # seconds that all draw by themselves
MOST_AHEAD = 1024  # texts of the others that may be waiting for one of the slowest rank

Asked = tuple[bool, int]  # whether to stop, and which text is the first that hasn't ended on any rank
Drawn = tuple[list[Piece], "int | None"]  # pieces, and the number of the first text that hasn't ended


@contextmanager
def drawn(
    model: LanguageModel, prompts: list[str], count: int | None, state: State | None, settings: dict[str, Any]
) -> Iterator[Pieces | SharedPieces]:
    """The pieces of the texts of these prompts, `count` of each; of the only one without end for None. Several are
    shared among all ranks. `settings`: those of LanguageModel.pieces."""
    if ranks().size == 1 or (count is not None and len(prompts) * count == 1):
        yield model.pieces(_all_prompts(prompts, count), state=state, **settings)
        return
    with work_shared(_Drawing(model, prompts, count, state, settings)) as ask:
        yield SharedPieces(ask)


class SharedPieces(Iterator[Piece]):
    """As LanguageModel.pieces, of what all ranks draw: the texts are the same, their pieces come in another order."""

    def __init__(self, ask: Callable[[Asked], list[Drawn]]) -> None:
        self._ask = ask
        self._pieces: deque[Piece] = deque()
        self._slowest: int | None = 0
        self._stopped = False

    def __next__(self) -> Piece:
        while not self._pieces:
            if self._slowest is None:
                raise StopIteration
            found = self._ask((self._stopped, self._slowest))
            self._slowest = min((first for _, first in found if first is not None), default=None)
            for pieces, _ in found:
                self._pieces.extend(pieces)
        return self._pieces.popleft()

    def stop(self) -> None:
        """As Pieces.stop, on all ranks."""
        self._stopped = True


@dataclass
class _Drawing:
    """What a rank draws: its share of the texts, a while at each question."""

    model: LanguageModel
    prompts: list[str]
    count: int | None
    state: State | None
    settings: dict[str, Any]
    pieces: Pieces | None = None
    first: int | None = None  # the first that hasn't ended
    ended: set[int] = field(default_factory=set)  # of those after it

    def __call__(self, ranks: Ranks, asked: Asked) -> Drawn:
        stop, slowest = asked
        if self.pieces is None:
            several = _all_prompts(self.prompts, self.count)
            self.pieces = self.model.pieces(several, state=self.state, ranks=ranks, **self.settings)
            self.first = ranks.rank
        if stop:
            self.pieces.stop()
        found: list[Piece] = []
        until = monotonic() + AT_A_TIME
        while self.first is not None and (stop or self.first < slowest + MOST_AHEAD) and monotonic() < until:
            piece = next(self.pieces, None)
            if piece is None:
                self.first = None
                break
            found.append(piece)
            if piece.finish_reason is not None:
                self.ended.add(piece.number)
            while self.first in self.ended:
                self.ended.remove(self.first)
                self.first += ranks.size
        return found, self.first


def _all_prompts(prompts: list[str], count: int | None) -> Iterable[str]:
    return repeat(prompts[0]) if count is None else chain.from_iterable(repeat(prompt, count) for prompt in prompts)
