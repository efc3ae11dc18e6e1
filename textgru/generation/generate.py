"""From prompts to pieces of text. Memory is constant, however long the texts."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import count
from typing import NamedTuple

import numpy as np

from textgru.errors import InputError
from textgru.generation.constraints import Matchers
from textgru.generation.draws import Draws
from textgru.generation.sampling import Sampling
from textgru.generation.starts import Start
from textgru.generation.state import NO_STATE, State, state_of
from textgru.generation.stopping import FinishReason, Stopping
from textgru.generation.text import Text
from textgru.model.ensemble import Packed
from textgru.text.tokenizer import Tokenizer

MOST_ROWS = 64  # texts that are drawn side by side
MOST_WAITING = 4_000_000  # tokens of texts that wait for the one before them to be shown


class Piece(NamedTuple):
    """New text of one of several texts.

    `number`: which of them, from 0; `text`: ready to be shown, maybe empty; `tokens`: those that were drawn, the one
    that ended a document included; `log_probabilities`: theirs, or None where nobody asked; `finish_reason`: "length",
    "stop" or "eos" (the end of a document) in the last piece of a text, else None.
    """

    number: int
    text: str
    tokens: list[int]
    log_probabilities: list[float] | None
    finish_reason: FinishReason | None


class Pieces(Iterator[Piece]):
    """Yields the new text of several texts, piece by piece, those of one in their order.

    Up to 64 are drawn side by side, fewer where they are long; where one ends, the next begins. Each has random numbers
    of its own, and is the same as if it were alone. The unknown token is never drawn. Bytes at the end that make no
    whole character are left out.
    """

    def __init__(
        self,
        packed: Packed,
        tokenizer: Tokenizer,
        starts: Iterable[tuple[Start, np.random.Generator]],
        sampling: Sampling,
        stopping: Stopping,
        *,
        log_probabilities: bool = False,
        model: str = "",
        matchers: Matchers | None = None,
        numbers: Iterable[int] | None = None,
    ) -> None:
        """`log_probabilities`: with the natural logarithms of the network's own probabilities, without any sampling
        control. `model`: the hash of the model, for the state. `matchers`: of what each text has to
        match. `numbers`: those of the texts, from 0 unless given."""
        self._packed, self._tokenizer, self._stopping, self._model = packed, tokenizer, stopping, model
        self._matchers = matchers
        self._draws = Draws(
            packed, sampling, never=tokenizer.unk_id, eos=tokenizer.eos_id, constrained=matchers is not None
        )
        self._scores = log_probabilities
        self._most = max(1, min(MOST_ROWS, MOST_WAITING // max(1, stopping.tokens)))
        self._waiting = zip(count() if numbers is None else numbers, starts, strict=False)
        self._first: Text | None = None
        self._stopped = False
        self._pieces = self._generated()

    def __next__(self) -> Piece:
        return next(self._pieces)

    @property
    def state(self) -> State:
        """Where the first text stands after the pieces that were yielded. Raises InputError with a constraint."""
        if self._first is None:
            raise RuntimeError("the first text has not begun")
        if self._matchers is not None:
            raise InputError(NO_STATE)
        return state_of(self._first.now(self._draws), self._packed, self._model)

    def stop(self) -> None:
        """Nothing more is drawn. What was held back as the possible beginning of a stop string is still yielded."""
        self._stopped = True

    def close(self) -> None:
        """Ends it at once."""
        self._pieces.close()

    def _generated(self) -> Generator[Piece, None, None]:
        texts: list[Text] = []
        while True:
            while len(texts) < self._most and (following := next(self._waiting, None)) is not None:
                texts.append(self._begun(*following))
            if not texts:
                return
            if self._stopped:
                break
            drawn = [text for text in texts if not text.finish_reason]
            if drawn:
                self._draw(drawn)
            for text in texts:
                yield self._piece(text)
            if any(text.finish_reason and text.left for text in texts):
                self._draws.fewer()
            texts = [text for text in texts if not text.finish_reason]
        for text in texts:
            if rest := text.rest():
                yield Piece(text.number, rest, [], [] if self._scores else None, None)

    def _begun(self, number: int, start: tuple[Start, np.random.Generator]) -> Text:
        text = Text(number, *start, self._tokenizer, self._stopping, self._matchers)
        if number == 0:
            self._first = text
        return text

    def _draw(self, texts: list[Text]) -> None:
        for text in texts:
            text.go_on()
        rows = [text.row for text in texts]
        self._draws.draw(rows, max(text.left for text in texts), log_probabilities=self._scores)
        for text in texts:
            text.new = text.read_all()
            text.shown = text.ready
            if text.number == 0:
                self._draws.take_back(text.row, text.ready)  # its random numbers may be the caller's

    def _piece(self, text: Text) -> Piece:
        scores = text.row.log_probabilities[: text.ready] if self._scores else None
        return Piece(text.number, text.new, text.row.drawn[: text.ready], scores, text.finish_reason)


def random_numbers(seed: int | np.random.Generator | None) -> Generator[np.random.Generator, None, None]:
    """Yields the random numbers of the first text, the second and so on: the first has those of the seed itself, each
    other a stream of its own that is spawned from the seed and its number. Raises InputError for what is no seed."""
    try:
        first = np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise InputError(f"seed: expected an integer from 0 up, a Generator or None, got {seed!r}") from error
    return _spawned(first, seed)


def _spawned(
    first: np.random.Generator, seed: int | np.random.Generator | None
) -> Generator[np.random.Generator, None, None]:
    yield first
    for number in count(1):
        if isinstance(seed, np.random.Generator):
            yield seed.spawn(1)[0]
        elif seed is None:
            yield np.random.default_rng()
        else:
            yield np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
