"""One text as an iterator, which can say at any time where it stands."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator

import numpy as np

from textgru.errors import InputError
from textgru.generation.constraints import Matchers
from textgru.generation.draws import Draws
from textgru.generation.sampling import Sampling
from textgru.generation.starts import Start, begin
from textgru.generation.state import NO_STATE, State, state_of
from textgru.generation.stopping import FinishReason, Stopping
from textgru.generation.text import Text
from textgru.model.ensemble import Packed
from textgru.text.tokenizer import Tokenizer


class Stream(Iterator[str]):
    """Yields new text piece by piece, a token's at a time, whole characters only.

    `finish_reason` says why the text ended: "length", "stop" or "eos" (the end of a document); None before. `state` is
    where it stands: what follows the pieces that were yielded. A stream that is closed early, or thrown away, leaves
    the random numbers as after those pieces.
    """

    def __init__(
        self,
        packed: Packed,
        tokenizer: Tokenizer,
        start: Start,
        rng: np.random.Generator,
        sampling: Sampling,
        stopping: Stopping,
        model: str = "",
        matchers: Matchers | None = None,
    ) -> None:
        """`model`: the hash of the model, for the state. `matchers`: of what the text has to match."""
        self._packed, self._model = packed, model
        self._draws = Draws(
            packed, sampling, never=tokenizer.unk_id, eos=tokenizer.eos_id, constrained=matchers is not None
        )
        self._text = Text(0, start, rng, tokenizer, stopping, matchers)
        self._pieces = _generated(self._text, self._draws)  # knows nothing of this object: both go at once

    def __iter__(self) -> Iterator[str]:
        return self._pieces  # a call less for each token

    def __next__(self) -> str:
        return next(self._pieces)

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the text ended."""
        return self._text.finish_reason if self._text.shown == self._text.ready else None

    @property
    def state(self) -> State:
        """Where the text stands now. What is held back as the possible beginning of a stop string is not in it.
        Raises InputError with a constraint."""
        if self._text.row.matcher is not None:
            raise InputError(NO_STATE)
        return state_of(self._text.now(self._draws), self._packed, self._model)

    def close(self) -> str:
        """Ends the text here, and returns what was held back as the possible beginning of a stop string."""
        self._pieces.close()
        return self._text.rest()


def _generated(text: Text, draws: Draws) -> Generator[str, None, None]:
    while not text.finish_reason:
        text.go_on()
        draws.draw([text.row], text.left)
        try:
            for piece in text.read():
                text.shown += 1
                if piece:
                    yield piece
        finally:
            if not sys.is_finalizing():  # at the end of the program there is nothing left to draw with
                draws.take_back(text.row, text.shown)


def stream(
    packed: Packed,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    sampling: Sampling,
    rng: np.random.Generator,
    *,
    from_eos: bool = True,
) -> Stream:
    """The text of up to `length` new tokens after the prompt. See textgru.generation.starts.begin for no prompt."""
    start = begin(packed, tokenizer, prompt, from_eos=from_eos)
    return Stream(packed, tokenizer, start, rng, sampling, Stopping(length))
