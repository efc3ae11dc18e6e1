"""One text that comes token by token."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from textgru.generation.constraints import Matchers
from textgru.generation.draws import Draws, Row
from textgru.generation.starts import Start
from textgru.generation.stopping import FinishReason, Stopping
from textgru.text.tokenizer import Tokenizer

DECODED = 64  # tokens at the end of a text that the decoder needs to go on
REPLAYED = 32  # of the recent tokens, that the decoder reads one by one: a character may have begun in them


class Text:
    """Turns drawn tokens into text that can be shown, and says where it ends.

    `row`: what its tokens are drawn for; `left`: how many more there may be; `finish_reason`: None until it has ended.
    `ready`: for how many of the tokens drawn last there is a text; `shown`: for how many of them it has been shown.
    `new`: of those drawn last, for who takes them all at once.
    """

    def __init__(
        self,
        number: int,
        start: Start,
        rng: np.random.Generator,
        tokenizer: Tokenizer,
        stopping: Stopping,
        matchers: Matchers | None = None,
    ) -> None:
        self.number = number
        self.row = Row(start.state, start.token, rng, start.memory, matchers() if matchers else None)
        self.left = stopping.tokens
        self._finder = stopping.finder()
        self._eos = tokenizer.eos_id
        self._ends = {*stopping.stop_tokens} if self._eos is None else {*stopping.stop_tokens, self._eos}
        nothing = self.left == 0 or (self._finder is not None and self._finder.finish_reason is not None)
        self.finish_reason: FinishReason | None = "length" if nothing else None
        self.ready = self.shown = 0
        self.new = ""
        before, replayed = start.recent[-DECODED:-REPLAYED], start.recent[-REPLAYED:]
        self._decoder = tokenizer.decoder(np.array(before, np.intp) if start.recent else None)
        for token in replayed:
            self._decoder.feed(token)

    def read(self) -> list[str]:
        """What can be shown after each of the row's drawn tokens, as far as the text goes."""
        tokens, feed, finder, matcher = self.row.drawn, self._decoder.feed, self._finder, self.row.matcher
        ends = len(tokens)
        if self._ends and not self._ends.isdisjoint(tokens):
            ends = next(i for i, token in enumerate(tokens) if token in self._ends)
        if matcher is not None and matcher.left_out:
            ends = 0
        of_text = tokens[: min(ends, self.left)]
        ready = [feed(token) for token in of_text]
        if finder is not None:
            ready = finder.feed_all(ready)
            self.finish_reason = finder.finish_reason
        if not self.finish_reason and ends < min(len(tokens), self.left):
            self.finish_reason = "eos" if tokens[ends] == self._eos and matcher is None else "stop"
            ready.append("")
        if not self.finish_reason and matcher is not None and matcher.complete:
            self.finish_reason = "stop"
        self.left -= len(ready)
        if not self.finish_reason and self.left == 0:
            self.finish_reason = "length"
        if self.finish_reason:
            ready[-1] += self.rest()
        self.ready, self.shown = len(ready), 0
        return ready

    def read_all(self) -> str:
        """The same at once."""
        tokens = self.row.drawn
        goes_on = len(tokens) < self.left and self._ends.isdisjoint(tokens)
        if not goes_on or self._finder is not None or self.row.matcher is not None:
            return "".join(self.read())
        self.left -= len(tokens)
        self.ready, self.shown = len(tokens), 0
        return self._decoder.feed_all(tokens)

    def rest(self) -> str:
        """What is held back as the possible beginning of a stop string."""
        return "" if self._finder is None else self._finder.rest()

    def go_on(self) -> None:
        """Before more tokens are drawn."""
        self.row.drawn, self.ready, self.shown = [], 0, 0

    def now(self, draws: Draws) -> Row:
        """The row as it was after what has been shown."""
        row = copy.copy(self.row)
        row.rng = copy.deepcopy(row.rng)
        draws.take_back(row, self.shown)
        return row


def text_of(tokenizer: Tokenizer, start: Start, tokens: Sequence[int], stopping: Stopping | None = None) -> str:
    """The text of these tokens after the start, as far as it goes, without what makes no whole character."""
    text = Text(0, start, np.random.default_rng(0), tokenizer, stopping or Stopping(len(tokens)))
    text.row.drawn = list(tokens)
    return "".join(text.read()) if tokens else ""
