"""One id a character, encoded by table look-up, which gives the library's ids much faster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers

from textgru.text.tokenizer import (
    END_OF_TEXT,
    REPLACEMENT,
    Blocks,
    StreamDecoder,
    Tokenizer,
    check_ids,
    check_text,
    has_only_eos,
    with_eos,
)

UNKNOWN = "<unk>"
CODE_POINTS = 0x110000


class CharTokenizer(Tokenizer):
    """One id a Unicode character; characters not seen in training become the unknown token, id 0."""

    kind = "char"

    def __init__(self, backend: tokenizers.Tokenizer, settings: dict[str, Any] | None = None) -> None:
        super().__init__(backend, settings)
        self._characters = np.full(self.vocab_size, REPLACEMENT, dtype=object)
        self._ids = np.full(CODE_POINTS, self.unk_id or 0, self.id_type)
        for token, i in backend.get_vocab().items():
            if len(token) == 1:
                self._characters[i] = token
                self._ids[ord(token)] = i
        if self.eos_id is not None:
            self._characters[self.eos_id] = ""
        self._listed: list[str] = self._characters.tolist()

    @classmethod
    def learn(
        cls, blocks: Blocks, *, vocab_size: int | None, eos: bool, on_learning: Callable[[], None] | None
    ) -> CharTokenizer:
        seen = np.zeros(CODE_POINTS, bool)
        for block in blocks():
            points = _code_points(block)
            seen[points[~_look_up(seen, points)]] = True
        characters = [chr(point) for point in np.flatnonzero(seen)]
        vocabulary = {UNKNOWN: 0} | {character: i for i, character in enumerate(characters, start=1)}
        settings = _char_settings()
        settings["model"]["vocab"] = vocabulary
        return cls(with_eos(tokenizers.Tokenizer.from_str(json.dumps(settings)), eos))

    def extended(self, blocks: Iterable[str], most_unknown: float) -> CharTokenizer:
        """The same with an id for each character of a text that it doesn't know yet, after those that it has. Itself
        where there are none, or where they are more than this part, 0 to 1, of the text."""
        counts = np.zeros(CODE_POINTS, np.int64)
        for block in blocks:
            points, found = np.unique(_code_points(block), return_counts=True)
            counts[points] += found
        known = np.zeros(CODE_POINTS, bool)
        known[[ord(character) for character in self.backend.get_vocab() if len(character) == 1]] = True
        new = np.flatnonzero(~known & (counts > 0))
        if not len(new) or counts[new].sum() > most_unknown * counts.sum():
            return self
        settings = json.loads(self.to_json())
        if self.eos_id is not None:  # it keeps its number
            settings["model"]["vocab"][END_OF_TEXT] = self.eos_id
        settings["model"]["vocab"] |= {chr(point): i for i, point in enumerate(new, start=self.vocab_size)}
        return CharTokenizer(tokenizers.Tokenizer.from_str(json.dumps(settings)))

    @classmethod
    def of_settings(cls, backend: tokenizers.Tokenizer, settings: dict[str, Any]) -> CharTokenizer | None:
        return cls(backend, settings) if _is_char(settings) else None

    def encode(self, text: str) -> np.ndarray:
        return _look_up(self._ids, _code_points(check_text(text))).astype(np.intp)

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        for block in blocks:
            yield _look_up(self._ids, _code_points(block))

    def decode(self, tokens: np.ndarray | list[int]) -> str:
        return "".join(self._characters[check_ids(tokens, self.vocab_size)])

    def decoder(self, after: np.ndarray | None = None) -> StreamDecoder:
        return _CharDecoder(self._listed)

    def token_bytes(self) -> list[bytes]:
        return [b"" if i == self.unk_id else c.encode("utf-8", "ignore") for i, c in enumerate(self._listed)]

    def count_characters(self, tokens: np.ndarray) -> int:
        return len(tokens) - (0 if self.eos_id is None else int(np.count_nonzero(tokens == self.eos_id)))


class _CharDecoder(StreamDecoder):
    def __init__(self, characters: list[str]) -> None:
        self._characters = characters

    def feed(self, token: int) -> str:
        return self._characters[token]

    def feed_all(self, tokens: list[int]) -> str:
        return "".join(map(self._characters.__getitem__, tokens))


def _is_char(settings: dict[str, Any]) -> bool:
    """Whether these are the settings of a CharTokenizer, but for its vocabulary."""
    model, own = settings["model"], _char_settings()
    same = all(settings.get(part) == own[part] for part in ("normalizer", "pre_tokenizer", "decoder"))
    return (
        same
        and model.get("type") == "WordLevel"
        and model.get("unk_token") in model["vocab"]
        and has_only_eos(settings)
    )


def _char_settings() -> dict:  # type: ignore[type-arg]
    backend = tokenizers.Tokenizer(models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    settings: dict = json.loads(backend.to_str())  # type: ignore[type-arg]
    return settings


def _code_points(text: str) -> np.ndarray:
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _look_up(table: np.ndarray, points: np.ndarray) -> np.ndarray:
    """table[points] for a table of all code points, faster: none is outside."""
    return np.take(table, points, mode="clip")
