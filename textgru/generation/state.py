"""Where a generation stopped: what is needed to go on exactly there, also as a file. Reading one executes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from textgru.atomic_files import write_atomically
from textgru.errors import InputError
from textgru.generation.draws import Row
from textgru.generation.starts import Start
from textgru.model.ensemble import Packed, session_of
from textgru.paths import given_path
from textgru.typed import MismatchError, Range, read_fields, read_json

LONGEST_HEADER = 1 << 24  # bytes
LARGEST_FILE = 1 << 32
NO_STATE = "state: where a text stands in a regex, a grammar or a schema can't be kept"


@dataclass(frozen=True)
class RandomState:
    """That of NumPy's PCG64, which default_rng makes."""

    state: Annotated[int, Range(0, 2**128)]
    inc: Annotated[int, Range(0, 2**128)]
    has_uint32: Annotated[int, Range(0, 1)]
    uinteger: Annotated[int, Range(0, 2**32)]

    @staticmethod
    def of(rng: np.random.Generator) -> RandomState | None:
        """None for another kind of generator."""
        found = rng.bit_generator.state
        if found["bit_generator"] != "PCG64":
            return None
        return RandomState(**found["state"], has_uint32=found["has_uint32"], uinteger=found["uinteger"])

    def generator(self) -> np.random.Generator:
        """One that goes on from here."""
        rng = np.random.Generator(np.random.PCG64(self.state))  # what is spawned from it is its own
        rng.bit_generator.state = {
            "bit_generator": "PCG64", "state": {"state": self.state, "inc": self.inc},
            "has_uint32": self.has_uint32, "uinteger": self.uinteger,
        }  # fmt: skip
        return rng


@dataclass(frozen=True)
class _Header:
    """The first line of a file: JSON. The bytes of Session.save_state follow."""

    format: Literal["textgru generation state"]
    version: Annotated[int, Range(1, 1)]
    model: str
    token: Annotated[int, Range(0, 2**31)]
    recent: list[Annotated[int, Range(0, 2**31)]]
    random: RandomState | None = None
    drawn: Annotated[int, Range(0, 2**62)] = 0
    mu: float | None = None


@dataclass(frozen=True)
class State:
    """What `LanguageModel.prime` and `Stream.state` give and `LanguageModel.stream` goes on from.

    `session`: the network's state, as textgru.core.Session.save_state gives it, after all tokens but the last, which is
    `token`; `recent`: tokens at the end of the text, as many as decoder and sampling controls look back; `model`: the
    hash of the model that it belongs to; `random`: the state of the random numbers, or None; `drawn`, `mu`: what
    sampling controls remember beside the tokens (textgru.generation.draws.Memory).
    """

    session: bytes
    token: int
    recent: tuple[int, ...]
    model: str
    random: RandomState | None = None
    drawn: int = 0
    mu: float | None = None

    def save(self, path: str | Path) -> None:
        """Writes a file for LanguageModel.load_state. Raises InputError or StorageError where it can't be written."""
        header = _Header(
            "textgru generation state", 1, self.model, self.token, list(self.recent), self.random, self.drawn, self.mu
        )
        line = json.dumps(asdict(header), separators=(",", ":"))
        write_atomically(given_path("state", path), line.encode() + b"\n" + self.session)

    @staticmethod
    def read(path: str | Path) -> State:
        """The state in a file. Raises InputError unless it is one."""
        path = given_path("state", path)
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise InputError(f"{path}: too large to be a saved state")
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file") from error
        except OSError as error:
            raise InputError(f"{path}: can't be read: {error.strerror}") from error
        line, _, session = data.partition(b"\n")
        try:
            if len(line) > LONGEST_HEADER:
                raise MismatchError("its first line is too long")
            header = read_fields(_Header, read_json(line))
        except MismatchError as error:
            raise InputError(f"{path}: is no saved state, or damaged: {error}") from error
        return State(session, header.token, tuple(header.recent), header.model, header.random, header.drawn, header.mu)


def state_of(row: Row, packed: Packed, model: str) -> State:
    """The state of a row, in the model with the hash `model`."""
    session = session_of(packed)
    session.state = tuple(np.ascontiguousarray(array) for array in row.state)
    tokens, memory = tuple(row.memory.tokens.tolist()), row.memory
    return State(session.save_state(), row.token, tokens, model, RandomState.of(row.rng), memory.drawn, memory.mu)


def start_of(state: State, packed: Packed, model: str) -> Start:
    """What a text goes on from, in the model with the hash `model`. Raises InputError where the state is another's."""
    if state.model != model:
        raise InputError("state: it belongs to another model; go on with the one that it was saved from")
    session = session_of(packed)
    try:
        session.load_state(state.session)
    except ValueError as error:
        raise InputError(str(error)) from error
    if not all(0 <= token < packed.vocab_size for token in (state.token, *state.recent)):
        raise InputError("state: damaged: it has tokens that the model doesn't know")
    return Start(session.state, state.token, state.recent, state.drawn, state.mu)
