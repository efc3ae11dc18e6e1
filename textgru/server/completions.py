"""/v1/completions: from a request to texts, at once or as a stream of events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from time import monotonic, time
from typing import Any

import numpy as np

from textgru.errors import InputError, TextgruError
from textgru.generation.generate import random_numbers
from textgru.generation.sampling import NOT_FINITE, NOTHING_LEFT
from textgru.generation.starts import first_tokens
from textgru.server.engine import Beginning, Drawn, EngineError, FullError, Job
from textgru.server.errors import RequestError
from textgru.server.models import Served
from textgru.server.requests import Completion, Prompt, bad_input, tokens_of
from textgru.server.settings import ServerSettings
from textgru.text.files import normalise

LEAST_BETWEEN = 0.05  # seconds between two events of a stream: several tokens in one, where they come faster
UNLIKELY = -9999.0  # in place of minus infinity, which JSON lacks


@dataclass
class Choice:
    """A text of a request, as far as it has come. `before`: the prompt, where it is to be sent too."""

    text: str = ""
    tokens: int = 0
    texts: list[str] = field(default_factory=list)
    log_probabilities: list[float | None] = field(default_factory=list)
    alternatives: list[dict[str, float] | None] = field(default_factory=list)
    finish_reason: str | None = None


class Texts:
    """The texts of one request: starts them, and collects what is drawn."""

    def __init__(
        self, served: Served, wanted: Completion, limits: ServerSettings, on_tokens: Callable[[int, bool], None]
    ) -> None:
        """`on_tokens` is called with the number of tokens that have come, and whether they are the first."""
        self._served, self.wanted, self._limits, self._on_tokens = served, wanted, limits, on_tokens
        self.id = f"cmpl-{secrets.token_hex(12)}"
        self.created = int(time())
        self.prompt_tokens = self.drawn_tokens = 0
        self.error: TextgruError | None = None
        self._new, self._over = asyncio.Event(), asyncio.Event()
        self._jobs: list[Job] = []
        self._left = 0
        self._spelled: dict[int, str] = {}
        self.choices: list[Choice] = []

    async def start(self, in_thread: Callable[..., Awaitable[Any]]) -> None:
        """Prepares them `in_thread`, and hands them to the engine. Raises RequestError where it can't be, 429 where too
        many wait."""
        try:
            self._jobs, self.choices = await in_thread(self._prepared)
        except InputError as error:
            raise bad_input(error) from error
        self._left = len(self._jobs)
        for number, job in enumerate(self._jobs):
            job.outbox = partial(self._take, number)
        try:
            self._served.engine.submit(self._jobs)
        except FullError as error:
            raise RequestError(429, str(error), code="too_many_texts") from error

    def cancel(self) -> int:
        """Gives the places back; returns how many texts had not ended."""
        for job in self._jobs:
            job.cancelled = True
        return self._left

    @property
    def ended(self) -> bool:
        return self._left == 0 or self.error is not None

    async def news(self) -> None:
        """Waits until something has come."""
        await self._new.wait()
        self._new.clear()

    async def pause(self) -> None:
        """Waits until all have ended, or for the least time between two events."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._over.wait(), LEAST_BETWEEN)

    def usage(self) -> dict[str, int]:
        """As OpenAI counts."""
        of_prompts, drawn = self.prompt_tokens, self.drawn_tokens
        return {"prompt_tokens": of_prompts, "completion_tokens": drawn, "total_tokens": of_prompts + drawn}

    def _prepared(self) -> tuple[list[Job], list[Choice]]:
        model, wanted = self._served.model, self.wanted
        tokenizer, given = model.tokenizer, wanted.given
        wanted.sampling.sampler(tokenizer.vocab_size, never=tokenizer.unk_id, eos=tokenizer.eos_id)  # checks the tokens
        matchers = wanted.constraint.matchers(tokenizer, wanted.sampling.banned)
        until = monotonic() + self._limits.max_seconds
        alternatives = given.logprobs
        if alternatives is None and wanted.drawn > given.n:
            alternatives = 0  # to choose the best
        numbers = islice(random_numbers(given.seed), wanted.drawn * len(wanted.prompts))
        jobs, choices = [], []
        for prompt in wanted.prompts:
            tokens, recent = self._tokens(prompt)
            beginning = Beginning(tokens, recent)
            self.prompt_tokens += len(tokens) if recent else 0
            echoed = self._echoed(prompt, tokens, recent) if given.echo else Choice()
            for _ in range(wanted.drawn):
                jobs.append(
                    Job(beginning, next(numbers), wanted.sampling, wanted.stopping, matchers, alternatives, until)
                )
                choices.append(
                    Choice(
                        echoed.text, 0, [*echoed.texts], [*echoed.log_probabilities], [*echoed.alternatives]
                    )
                )  # fmt: skip
        return jobs, choices

    def _tokens(self, prompt: Prompt) -> tuple[np.ndarray, bool]:
        """Those that the text begins with, and whether they are a prompt's."""
        model = self._served.model
        if prompt.tokens is not None and len(prompt.tokens):
            return tokens_of(model.tokenizer, prompt.tokens, "prompt"), True
        text = normalise(prompt.text or "")
        return first_tokens(model.tokenizer, text, from_eos=model.reads_documents), bool(text)

    def _echoed(self, prompt: Prompt, tokens: np.ndarray, recent: bool) -> Choice:
        """The prompt as the beginning of its texts."""
        if not recent:
            return Choice()
        model, top = self._served.model, self.wanted.given.logprobs
        text = prompt.text if prompt.text is not None else model.tokenizer.decode(tokens.tolist())
        if top is None:
            return Choice(text)
        texts, logs, likeliest = [], [], []
        for part in model.stream_surprisals([tokens], top=top):
            texts += part.texts
            logs += [None if np.isnan(bits) else _finite(-bits * float(np.log(2))) for bits in part.bits.tolist()]
            for ids, probabilities in zip(part.likeliest.tolist(), part.probabilities.tolist(), strict=True):
                found = [(i, float(np.log(p)) if p > 0 else UNLIKELY) for i, p in zip(ids, probabilities, strict=True)]
                likeliest.append(self._named(found) if top and not np.isnan(probabilities[0]) else None)
        return Choice(text, 0, texts, logs, likeliest)

    def _take(self, number: int, drawn: Drawn) -> None:
        choice = self.choices[number]
        if drawn.error is not None:
            self.error = drawn.error
            self.cancel()
        if drawn.tokens:
            self._on_tokens(len(drawn.tokens), self.drawn_tokens == 0)
        self.drawn_tokens += len(drawn.tokens)
        choice.text += drawn.text
        choice.tokens += len(drawn.tokens)
        choice.texts += drawn.texts
        choice.log_probabilities += [_finite(log) for log in drawn.log_probabilities]
        choice.alternatives += [self._named(found) for found in drawn.alternatives]
        if drawn.finish_reason:
            choice.finish_reason = "length" if drawn.finish_reason == "length" else "stop"
            self._left -= 1
        self._new.set()
        if self.ended:
            self._over.set()

    def _named(self, found: Sequence[tuple[int, float]]) -> dict[str, float]:
        """Token ids as texts; of several with one text the likeliest."""
        named: dict[str, float] = {}
        for token, log in found:
            if token not in self._spelled:
                self._spelled[token] = self._served.model.tokenizer.decode([token])
            named.setdefault(self._spelled[token], _finite(log))
        return named


def _finite(log: float) -> float:
    return max(log, UNLIKELY)


def _logprobs(choice: Choice, wanted: Completion, first: int, offset: int) -> dict[str, Any] | None:
    """Of the tokens from the `first` on, the text of which begins at `offset`."""
    top = wanted.given.logprobs
    if top is None:
        return None
    texts = choice.texts[first:]
    offsets = []
    for text in texts:
        offsets.append(offset)
        offset += len(text)
    return {
        "tokens": texts,
        "token_logprobs": choice.log_probabilities[first:],
        "top_logprobs": choice.alternatives[first:] if top else None,
        "text_offset": offsets,
    }


def _frame(texts: Texts, name: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": texts.id, "object": "text_completion", "created": texts.created, "model": name, "choices": choices}


def whole(texts: Texts, name: str) -> dict[str, Any]:
    """The answer, when all texts have ended."""
    wanted = texts.wanted
    found = []
    for first in range(0, len(texts.choices), wanted.drawn):
        drawn = texts.choices[first : first + wanted.drawn]
        if wanted.drawn > wanted.given.n:
            drawn = sorted(drawn, key=_mean, reverse=True)[: wanted.given.n]
        found += drawn
    choices = [
        {"index": i, "text": c.text, "logprobs": _logprobs(c, wanted, 0, 0), "finish_reason": c.finish_reason}
        for i, c in enumerate(found)
    ]
    return {**_frame(texts, name, choices), "usage": texts.usage()}


def _mean(choice: Choice) -> float:
    logs = [log for log in choice.log_probabilities[len(choice.log_probabilities) - choice.tokens :] if log is not None]
    return sum(logs) / max(1, len(logs))


def failure(error: TextgruError) -> RequestError:
    """Why a text could not go on. The weights are finite, or were not loaded: it is the controls that leave nothing."""
    if str(error) in (NOT_FINITE, NOTHING_LEFT):
        return RequestError(400, "nothing is left to draw with these controls; make penalties, biases and bans milder")
    return RequestError(500 if isinstance(error, EngineError) else 400, str(error))


async def events(texts: Texts, name: str) -> AsyncIterator[bytes]:
    """The same as server-sent events."""
    options = texts.wanted.given.stream_options
    sent = [(0, 0, 0, False)] * len(texts.choices)  # characters and tokens, characters of those tokens, and the end
    while True:
        if not texts.ended:
            await texts.news()
        over = texts.ended  # what comes while the events are sent is for the next turn
        for i, choice in enumerate(texts.choices):
            characters, tokens, offset, ended = sent[i]
            if ended or (len(choice.text) == characters and len(choice.texts) == tokens and not choice.finish_reason):
                continue
            part = {
                "index": i,
                "text": choice.text[characters:],
                "logprobs": _logprobs(choice, texts.wanted, tokens, offset),
                "finish_reason": choice.finish_reason,
            }
            offset += sum(map(len, choice.texts[tokens:]))
            sent[i] = len(choice.text), len(choice.texts), offset, choice.finish_reason is not None
            yield _event(_frame(texts, name, [part]))
        if texts.error is not None:
            yield _event(failure(texts.error).content())
            break
        if over:
            break
        await texts.pause()
    if options is not None and options.include_usage and texts.error is None:
        yield _event({**_frame(texts, name, []), "usage": texts.usage()})
    yield b"data: [DONE]\n\n"


def _event(content: object) -> bytes:
    return f"data: {json.dumps(content, separators=(',', ':'), allow_nan=False)}\n\n".encode()
