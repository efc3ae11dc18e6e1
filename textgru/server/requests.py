"""What a request asks for, checked: from JSON to settings. Nothing in a request names a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import numpy as np

from textgru.errors import InputError
from textgru.generation.constraints import Constraint
from textgru.generation.sampling import Sampling
from textgru.generation.stopping import Stopping
from textgru.server.errors import RequestError
from textgru.server.settings import ServerSettings
from textgru.text.tokenizer import Tokenizer
from textgru.typed import MismatchError, Range, read_fields, read_json, shown

MOST_ALTERNATIVES = 20
MOST_TOLD = 500_000  # logarithms of probabilities, or echoed characters, in one answer
MOST_STOPS, LONGEST_STOP = 16, 1000  # strings, characters
LONGEST_PATTERN = {"regex": 5000, "grammar": 5000, "json_schema": 20_000}  # characters
DEFAULT_LENGTH = 500  # tokens, as textgru sample

# Those of OpenAI that say something else here, or nothing.
REFUSED = {
    "suffix": "a text can only be continued at its end",
    "stop_regex": "an expression could be searched for hours; use stop, or regex for what the text has to match",
    "functions": "this is no chat model",
    "messages": "this is no chat model; use prompt with /v1/completions",
}
IGNORED = {"user", "metadata", "store", "service_tier"}
SAMPLING = {field.name for field in fields(Sampling)} - {"logit_bias"}
CONSTRAINT = {field.name for field in fields(Constraint)}


@dataclass(frozen=True)
class StreamOptions:
    """Of a stream of events."""

    include_usage: bool = False
    include_obfuscation: bool = False


@dataclass(frozen=True)
class Given:
    """The parameters of a completion that are no sampling controls."""

    model: str | None = None
    prompt: Any = ""
    max_tokens: Annotated[int | None, Range(0)] = None
    length_chars: Annotated[int | None, Range(0)] = None
    n: Annotated[int, Range(1)] = 1
    best_of: Annotated[int | None, Range(1)] = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: Any = None
    stop_at: Literal["document", "line", "sentence"] = "document"
    seed: Annotated[int | None, Range(0, 2**63)] = None
    logprobs: Annotated[int | None, Range(0, MOST_ALTERNATIVES)] = None
    echo: bool = False
    logit_bias: dict[str, Any] | None = None


@dataclass(frozen=True)
class Prompt:
    """The text and the tokens (n,) of a prompt; `text` None where tokens were given."""

    text: str | None
    tokens: np.ndarray | None

    def __len__(self) -> int:
        return len(self.tokens if self.text is None and self.tokens is not None else self.text or "")


@dataclass(frozen=True)
class Completion:
    """A request for texts."""

    given: Given
    prompts: list[Prompt]
    sampling: Sampling
    stopping: Stopping
    constraint: Constraint

    @property
    def drawn(self) -> int:
        """Texts that are drawn for each prompt."""
        return self.given.best_of or self.given.n


def read_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a request, without what is null."""
    try:
        found = read_json(body)
    except MismatchError as error:
        raise RequestError(400, f"the body: {error}") from error
    if not isinstance(found, dict):
        raise RequestError(400, f"the body: expected a JSON object, got {shown(found)}")
    return {name: value for name, value in found.items() if value is not None}


def read_completion(body: Mapping[str, Any], limits: ServerSettings) -> Completion:
    """Raises RequestError (400) that names the parameter. A pattern may take a second to be read."""
    body = {name: value for name, value in body.items() if name not in IGNORED}
    for name, why in REFUSED.items():
        if name in body:
            raise RequestError(400, f"{name}: not supported: {why}", name)
    own = {name: value for name, value in body.items() if name not in SAMPLING | CONSTRAINT}
    given = checked(Given, own)
    drawn = given.best_of or given.n
    if drawn < given.n:
        raise RequestError(400, f"best_of: expected at least n, {given.n}, got {drawn}", "best_of")
    if given.stream and drawn > given.n:
        raise RequestError(400, "best_of: can't be streamed; leave out stream, or best_of", "best_of")
    prompts = _prompts(given.prompt)
    if drawn * len(prompts) > limits.max_n:
        raise RequestError(
            400, f"n: {drawn * len(prompts)} texts in one request; {limits.max_n} at most, all prompts together", "n"
        )
    tokens = given.max_tokens
    if tokens is None:
        tokens = min(limits.max_tokens, DEFAULT_LENGTH if given.length_chars is None else 16 * given.length_chars)
    if tokens > limits.max_tokens:
        raise RequestError(400, f"max_tokens: at most {limits.max_tokens:,} here, got {tokens:,}", "max_tokens")
    if given.logprobs is not None and (told := drawn * len(prompts) * tokens * (1 + given.logprobs)) > MOST_TOLD:
        raise RequestError(
            400, f"logprobs: {told:,} of them in one answer, {MOST_TOLD:,} at most; ask for fewer tokens", "logprobs"
        )
    echoed = drawn * sum(map(len, prompts)) * (1 + (given.logprobs or 0)) if given.echo else 0
    if echoed > MOST_TOLD:
        raise RequestError(400, f"echo: the prompts are too long for it, {echoed:,}; {MOST_TOLD:,} at most", "echo")
    for name in CONSTRAINT & body.keys():
        if isinstance(body[name], str) and len(body[name]) > LONGEST_PATTERN[name]:
            raise RequestError(400, f"{name}: longer than {LONGEST_PATTERN[name]:,} characters", name)
    controls = {name: body[name] for name in SAMPLING & body.keys()}
    pattern: dict[str, Any] = {name: _schema(name, body[name]) for name in CONSTRAINT & body.keys()}
    try:
        sampling = Sampling(logit_bias=_bias(given.logit_bias), **controls)
        stopping = Stopping(
            length=tokens, length_chars=given.length_chars, stop=_stops(given.stop), stop_at=given.stop_at
        )
        constraint = Constraint(**pattern)
    except InputError as error:
        raise bad_input(error) from error
    return Completion(given, prompts, sampling, stopping, constraint)


def bad_input(error: InputError) -> RequestError:
    """An InputError as the answer to a request."""
    name = str(error).partition(":")[0]
    return RequestError(400, str(error), name if name.replace("_", "").isalpha() and " " not in name else None)


def checked(kind: type[Any], found: Mapping[str, Any]) -> Any:
    """A dataclass from JSON. Raises RequestError (400) that names the parameter."""
    try:
        return read_fields(kind, dict(found), unknown=False)
    except MismatchError as error:
        name = str(error).partition(":")[0]
        raise RequestError(400, str(error), name) from error


def tokens_of(tokenizer: Tokenizer, ids: np.ndarray, name: str) -> np.ndarray:
    """The ids, all of which the model has. Raises RequestError (400)."""
    if len(ids) and (bad := ids[(ids < 0) | (ids >= tokenizer.vocab_size)]).size:
        raise RequestError(400, f"{name}: no token {bad[0]}; the model has 0 to {tokenizer.vocab_size - 1}", name)
    return ids


def read_ids(found: object, name: str) -> np.ndarray:
    """A list of integers as an array. Raises RequestError (400)."""
    if not isinstance(found, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in found):
        raise RequestError(400, f"{name}: expected a list of token ids, got {shown(found)}", name)
    if any(abs(one) >= 1 << 62 for one in found):
        raise RequestError(400, f"{name}: no token {shown(max(found, key=abs))}", name)
    return np.array(found, np.intp)


def _prompts(found: object) -> list[Prompt]:
    """A text, several, the tokens of one, or the tokens of several."""
    if isinstance(found, str):
        return [Prompt(found, None)]
    if isinstance(found, list) and found:
        if all(isinstance(one, str) for one in found):
            return [Prompt(one, None) for one in found]
        if all(isinstance(one, list) for one in found):
            return [Prompt(None, read_ids(one, "prompt")) for one in found]
        if isinstance(found[0], int):
            return [Prompt(None, read_ids(found, "prompt"))]
    raise RequestError(400, f"prompt: expected a string, token ids, or a list of either, got {shown(found)}", "prompt")


def _stops(found: object) -> tuple[str, ...]:
    if found is None or found == []:
        return ()
    several = [found] if isinstance(found, str) else found
    if not isinstance(several, list) or not all(isinstance(one, str) and one for one in several):
        raise RequestError(400, f"stop: expected a string or a list of strings, got {shown(found)}", "stop")
    if len(several) > MOST_STOPS or any(len(one) > LONGEST_STOP for one in several):
        raise RequestError(400, f"stop: at most {MOST_STOPS} strings of {LONGEST_STOP:,} characters", "stop")
    return tuple(several)


def _bias(found: dict[str, Any] | None) -> dict[int, float]:
    bias = {}
    for token, value in (found or {}).items():
        if not token.isascii() or not token.isdigit() or len(token) > 9:
            raise RequestError(400, f"logit_bias: expected ids of tokens, got {shown(token)}", "logit_bias")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= 100:
            raise RequestError(400, f"logit_bias: expected -100 to 100, got {shown(value)}", "logit_bias")
        bias[int(token)] = float(value)
    return bias


def _schema(name: str, found: object) -> object:
    """A JSON schema may be given as it is."""
    return json.dumps(found) if name == "json_schema" and isinstance(found, dict) else found
