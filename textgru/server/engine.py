"""One thread that draws the tokens of all texts of a model side by side. Texts join and leave between two draws."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np

from textgru.core import PackedNetwork
from textgru.errors import TextgruError
from textgru.generation.constraints import Matchers
from textgru.generation.draws import Arrays, Draws, read_prompt
from textgru.generation.sampling import Sampling
from textgru.generation.starts import RECENT, Start
from textgru.generation.stopping import FinishReason, Stopping
from textgru.generation.text import Text
from textgru.text.tokenizer import Tokenizer

READ_AT_ONCE = 512  # tokens of prompts between two draws: a long prompt doesn't keep the others waiting


@dataclass(frozen=True)
class Drawn:
    """What was drawn for a text. `texts`: what each of the tokens adds to the text, "" where a character isn't whole
    yet, and `log_probabilities` theirs, `alternatives` the likeliest tokens at each place with their logarithms: all
    three only where they were asked for. `error` is why it ended, where it couldn't go on."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    alternatives: list[list[tuple[int, float]]] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    error: TextgruError | None = None


@dataclass(eq=False)
class Beginning:
    """What some texts begin with; it is read once for all of them.

    `tokens` (n,) intp, n at least 1; `recent`: whether the sampling controls and the decoder know them, as they do
    unless there was no prompt.
    """

    tokens: np.ndarray
    recent: bool
    _read: int = 0  # tokens
    _state: Arrays | None = None


@dataclass(eq=False)
class Job:
    """A text to be drawn.

    `prompt`: what it begins with; `rng`: its own random numbers; `alternatives`: how many of the
    likeliest tokens it wants to know at each place, 0 for only the logarithms of the drawn ones, None for neither;
    `until`: by the monotonic clock, when it ends in any case; `outbox`: belongs to whoever delivers what is drawn.
    """

    prompt: Beginning
    rng: np.random.Generator
    sampling: Sampling
    stopping: Stopping
    matchers: Matchers | None = None
    alternatives: int | None = None
    until: float = float("inf")
    outbox: Any = None
    cancelled: bool = False


class FullError(TextgruError):
    """More texts wait than may."""


class EngineError(TextgruError):
    """What should not happen."""


class _Group:
    """Texts whose tokens are drawn in one call, as they have the same controls; or one that has to match something."""

    def __init__(self, packed: PackedNetwork, tokenizer: Tokenizer, job: Job) -> None:
        self.sampling, self.constrained = job.sampling, job.matchers is not None
        self.draws = Draws(
            packed, job.sampling, never=tokenizer.unk_id, eos=tokenizer.eos_id, constrained=self.constrained
        )
        self.members: list[tuple[Job, Text, _Speller | None]] = []

    def takes(self, job: Job) -> bool:
        return not self.constrained and job.matchers is None and job.sampling == self.sampling


class _Speller:
    """The text of each token on its own, beside the text that stop strings may hold back."""

    def __init__(self, tokenizer: Tokenizer, recent: Sequence[int]) -> None:
        self._decoder = tokenizer.decoder(np.array(recent, np.intp) if recent else None)

    def feed(self, token: int) -> str:
        return self._decoder.feed(token)


class Engine:
    """Draws tokens for jobs. A text is the same, to the bit, whatever is drawn beside it.

    Up to `slots` texts are drawn side by side, those with the same controls in one call; further ones wait, `queue` at
    most. `deliver` is called in the engine's thread with what was drawn for some jobs. A job that is cancelled is left
    out before the next draw, some hundredths of a second later.
    """

    def __init__(
        self,
        packed: PackedNetwork,
        tokenizer: Tokenizer,
        deliver: Callable[[list[tuple[Job, Drawn]]], None],
        *,
        slots: int = 64,
        queue: int = 256,
    ) -> None:
        self._packed, self._tokenizer, self._deliver = packed, tokenizer, deliver
        self._slots, self._queue = slots, queue
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._reading: deque[Job] = deque()
        self._groups: deque[_Group] = deque()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="textgru-engine", daemon=True)
        self._thread.start()

    @property
    def active(self) -> int:
        """How many texts have a place."""
        return len(self._reading) + sum(len(group.members) for group in list(self._groups))

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._waiting)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Takes all of them. Raises FullError where more would wait than may."""
        with self._changed:
            free = max(0, self._slots - self.active)
            if self._closing or len(self._waiting) + len(jobs) > self._queue + free:
                raise FullError("too many texts wait already; try again later")
            self._waiting.extend(jobs)
            self._changed.notify()

    def close(self) -> None:
        """No more jobs; the thread ends when those that are there have ended. Cancel them to end it soon."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, timeout: float | None = None) -> None:
        """Waits until the thread has ended."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._closing or self._waiting or self._reading or self._groups):
                    self._changed.wait()
                if not (self._waiting or self._reading or self._groups):
                    return
                self._leave()
                places = self._slots - self.active
                while self._waiting and places > 0:
                    self._reading.append(self._waiting.popleft())
                    places -= 1
            self._read()
            if self._groups:
                group = self._groups[0]
                self._groups.rotate(-1)
                try:
                    self._draw(group)
                except Exception as error:  # the other texts go on
                    if group in self._groups:
                        self._groups.remove(group)
                    self._deliver([(job, Drawn(error=_failure(error))) for job, _, _ in group.members])

    def _leave(self) -> None:
        """Jobs that were cancelled lose their places."""
        for jobs in (self._waiting, self._reading):
            for job in [job for job in jobs if job.cancelled]:
                jobs.remove(job)
        for group in list(self._groups):
            group.members = [member for member in group.members if not member[0].cancelled]
            if not group.members:
                self._groups.remove(group)

    def _read(self) -> None:
        """Some tokens of the prompts; the texts of those that have been read begin."""
        left = READ_AT_ONCE
        while self._reading and left > 0:
            job = self._reading[0]
            prompt = job.prompt
            if count := min(left, len(prompt.tokens) - prompt._read):
                part = prompt.tokens[max(0, prompt._read - 1) : prompt._read + count]
                prompt._state = read_prompt(self._packed, part, prompt._state)
                prompt._read += count
                left -= count
            if prompt._read == len(prompt.tokens):
                self._reading.popleft()
                try:
                    self._begin(job)
                except Exception as error:  # the other texts go on
                    self._deliver([(job, Drawn(error=_failure(error)))])
            elif len(self._reading) > 1:
                self._reading.rotate(-1)

    def _begin(self, job: Job) -> None:
        prompt = job.prompt
        assert prompt._state is not None
        recent = tuple(prompt.tokens[-RECENT:].tolist()) if prompt.recent else ()
        start = Start(prompt._state, int(prompt.tokens[-1]), recent)
        text = Text(0, start, job.rng, self._tokenizer, job.stopping, job.matchers)
        if text.finish_reason:
            self._deliver([(job, Drawn(finish_reason=text.finish_reason))])
            return
        speller = None if job.alternatives is None else _Speller(self._tokenizer, recent)
        group = next((group for group in self._groups if group.takes(job)), None)
        if group is None:
            group = _Group(self._packed, self._tokenizer, job)
            self._groups.appendleft(group)  # its turn is next
        group.members.append((job, text, speller))
        group.draws.fewer()  # a few tokens soon, not many later

    def _draw(self, group: _Group) -> None:
        members = group.members
        for _, text, _ in members:
            text.go_on()
        try:
            scored = any(job.alternatives is not None for job, _, _ in members)
            rows = [text.row for _, text, _ in members]
            group.draws.draw(rows, max(text.left for _, text, _ in members), log_probabilities=scored)
            told = self._alternatives(group)
        except TextgruError as error:
            self._groups.remove(group)
            self._deliver([(job, Drawn(error=error)) for job, _, _ in members])
            return
        found, now = [], monotonic()
        for i, (job, text, speller) in enumerate(members):
            shown = text.read_all()
            reason = text.finish_reason
            if not reason and now >= job.until:
                shown, reason = shown + text.rest(), "length"
            tokens = text.row.drawn[: text.ready]
            if speller is None:
                found.append((job, Drawn(shown, tokens, finish_reason=reason)))
            else:
                logs, alternatives = text.row.log_probabilities, told.get(i, [])
                texts = [speller.feed(token) for token in tokens]
                n = len(tokens)
                found.append((job, Drawn(shown, tokens, texts, logs[:n], alternatives[:n], reason)))
        ended = {id(job) for job, drawn in found if drawn.finish_reason}
        group.members = [member for member in members if id(member[0]) not in ended]
        if ended and group.members:
            group.draws.fewer()
        if not group.members:
            self._groups.remove(group)
        self._deliver(found)

    def _alternatives(self, group: _Group) -> dict[int, list[list[tuple[int, float]]]]:
        """For each member that asked: the likeliest tokens in the place of each that was drawn, with the logarithms of
        their probabilities."""
        asked = [(i, job.alternatives) for i, (job, _, _) in enumerate(group.members) if job.alternatives]
        if not asked:
            return {}
        rows = [group.members[i][1].row for i, _ in asked]
        ids, logs = group.draws.alternatives(rows, max(most for _, most in asked))
        return {
            i: [
                list(zip(row_ids[:most].tolist(), row_logs[:most].tolist(), strict=True))
                for row_ids, row_logs in zip(ids[:, b], logs[:, b], strict=True)
            ]
            for b, (i, most) in enumerate(asked)
        }


def _failure(error: Exception) -> TextgruError:
    return error if isinstance(error, TextgruError) else EngineError(f"{type(error).__name__}: {error}")
