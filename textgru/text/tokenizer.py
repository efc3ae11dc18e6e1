"""What all tokenizers do: text to token ids and back. Every one is a Hugging Face `tokenizers.Tokenizer` on disk.

The kinds are in files of their own, which textgru.text imports: each makes itself known to Tokenizer.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tokenizers
from tokenizers import AddedToken

from textgru.errors import InputError
from textgru.paths import given_path
from textgru.text.tokenizer_file import parse, read_text

KINDS = ("char", "byte", "bpe")  # that are learned from a text
REPLACEMENT = "\ufffd"
DEFAULT_VOCABULARY = 1024  # of bpe
END_OF_TEXT = "<|endoftext|>"  # the token between documents, where there is one

Blocks = Callable[[], Iterable[str]]


class StreamDecoder(ABC):
    """Turns token ids into text one at a time, holding back what does not yet make a whole character."""

    @abstractmethod
    def feed(self, token: int) -> str:
        """The text that is complete with this token; it may be empty."""

    def feed_all(self, tokens: list[int]) -> str:
        """The text that is complete with these tokens."""
        return "".join(map(self.feed, tokens))


class Tokenizer(ABC):
    """What all tokenizers do. Make one with `Tokenizer.train`, `Tokenizer.load` or `Tokenizer.from_json`.

    `vocab_size` is the number of ids, `unk_id` the id of the unknown token or None, `eos_id` that of the token which
    ends a document ("<|endoftext|>"; no text stands for it and it stands for no text) or None, `kind` "char", "byte",
    "bpe" or "custom", `id_type` the smallest unsigned integers that hold the ids.
    """

    kind: str
    _kinds: ClassVar[list[type[Tokenizer]]] = []  # in the order in which they are asked: the one for all others is last

    def __init_subclass__(cls) -> None:
        Tokenizer._kinds.append(cls)

    def __init__(self, backend: tokenizers.Tokenizer, settings: dict[str, Any] | None = None) -> None:
        """`settings`: those of the tokenizer.json, where there are any yet."""
        self.backend = backend
        self.settings: dict[str, Any] = json.loads(backend.to_str()) if settings is None else settings
        self.vocab_size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
        self.eos_id: int | None = backend.token_to_id(END_OF_TEXT)
        self.unk_id = _unknown_id(backend, self.settings["model"])
        if self.unk_id == self.eos_id:
            self.unk_id = None
        self.id_type = next(d for d in (np.uint8, np.uint16, np.uint32) if self.vocab_size - 1 <= np.iinfo(d).max)

    @staticmethod
    def train(
        kind: str,
        blocks: Blocks,
        *,
        vocab_size: int | None = None,
        eos: bool = False,
        on_learning: Callable[[], None] | None = None,
    ) -> Tokenizer:
        """A tokenizer of this kind ("char", "byte" or "bpe") for the text whose blocks `blocks()` yields.

        `vocab_size` (bpe only, default 1024) is the most tokens there may be. `eos`: with a token that ends a document.
        A bpe vocabulary is learned from at most 50 million characters (textgru.text.bpe_sample), on another thread,
        which also reads the blocks; `on_learning` is called time and again from when they are all read.

        Raises InputError for values that can't be.
        """
        if not callable(blocks):
            raise TypeError(f"blocks: expected a function that yields the text, got {type(blocks).__name__}")
        if vocab_size is not None and kind != "bpe":
            raise InputError(
                f"vocab_size: only the bpe tokenizer has one to set; a {kind} tokenizer takes what it finds"
            )
        for tokenizer in Tokenizer._kinds:
            if tokenizer.kind == kind and kind in KINDS:
                return tokenizer.learn(blocks, vocab_size=vocab_size, eos=eos, on_learning=on_learning)
        raise InputError(f"tokenizer: expected one of {', '.join(KINDS)} or the path of a tokenizer.json, got {kind!r}")

    @staticmethod
    def load(path: str | Path) -> Tokenizer:
        """The tokenizer in a tokenizer.json. Raises InputError if it can't be read."""
        path = given_path("tokenizer", path)
        try:
            return Tokenizer.from_json(read_text(path))
        except InputError as error:
            raise InputError(str(error) if str(error).startswith(f"{path}: ") else f"{path}: {error}") from error

    @staticmethod
    def from_json(text: str) -> Tokenizer:
        """The tokenizer in the text of a tokenizer.json. Raises InputError if it isn't one."""
        check_text(text)
        backend, settings = parse(text)
        found = (tokenizer.of_settings(backend, settings) for tokenizer in Tokenizer._kinds)
        return next(tokenizer for tokenizer in found if tokenizer is not None)

    @classmethod
    def learn(
        cls, blocks: Blocks, *, vocab_size: int | None, eos: bool, on_learning: Callable[[], None] | None
    ) -> Tokenizer:
        """See train. Raises NotImplementedError for a kind that isn't learned here."""
        raise NotImplementedError

    @classmethod
    @abstractmethod
    def of_settings(cls, backend: tokenizers.Tokenizer, settings: dict[str, Any]) -> Tokenizer | None:
        """The tokenizer with the settings of a tokenizer.json, or None if they are another kind's."""

    def to_json(self) -> str:
        """The text of a tokenizer.json."""
        return str(self.backend.to_str(pretty=True))

    @abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """The ids (n,) intp of a text."""

    @abstractmethod
    def decode(self, tokens: np.ndarray | list[int]) -> str:
        """The text of ids (n,)."""

    @abstractmethod
    def decoder(self, after: np.ndarray | None = None) -> StreamDecoder:
        """A fresh decoder for a stream of ids, which follows the ids `after` (n,) where given: then its text is what
        decode gives for both, without what it gives for those."""

    def token_bytes(self) -> list[bytes] | None:
        """The UTF-8 bytes that each id stands for, b"" for those that stand for no text; None where that depends on the
        ids beside it."""
        return None

    def count_characters(self, tokens: np.ndarray) -> int:
        """How many characters the ids (n,) stand for."""
        return len(self.decode(tokens))

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        """The ids of a long text that comes in blocks, in arrays of id_type; the same ids as if it came in one."""
        for block in blocks:
            yield self.encode(block).astype(self.id_type)

    def unknown_characters(self, text: str) -> list[str]:
        """The distinct characters of a text that become the unknown token, in order of appearance."""
        if self.unk_id is None:
            return []
        return [c for c in dict.fromkeys(text) if self.unk_id in self.encode(c)]


def with_eos(backend: tokenizers.Tokenizer, eos: bool) -> tokenizers.Tokenizer:
    """The same with the token that ends a document, where asked: its last id."""
    if eos:
        backend.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    return backend


def _unknown_id(backend: tokenizers.Tokenizer, model: dict[str, Any]) -> int | None:
    """The id of the model's unknown token: Unigram's is given by its number."""
    if model.get("type") == "Unigram" or isinstance(model.get("vocab"), list):
        return model.get("unk_id")
    unk_token = model.get("unk_token")
    found: int | None = backend.token_to_id(unk_token) if isinstance(unk_token, str) else None
    return found


def has_only_eos(settings: dict[str, Any]) -> bool:
    """Whether it has no added tokens but the one that ends a document."""
    added = settings.get("added_tokens") or []
    return not added or (len(added) == 1 and added[0]["content"] == END_OF_TEXT and added[0]["special"])


def check_text(text: object) -> str:
    """The text; raises TypeError unless it is a str."""
    if not isinstance(text, str):
        raise TypeError(f"text: expected a str, got {type(text).__name__}")
    return text


def check_ids(tokens: object, vocab_size: int) -> np.ndarray:
    """The ids (n,) intp; raises TypeError unless they are integers, IndexError unless each is below vocab_size."""
    ids = np.asarray(tokens)
    if ids.size and (ids.ndim != 1 or ids.dtype.kind not in "iu"):
        raise TypeError(f"tokens: expected a sequence of integers, got {type(tokens).__name__}")
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise IndexError(f"tokens: expected ids from 0 to {vocab_size - 1}, got {ids.min()} to {ids.max()}")
    return ids.astype(np.intp)


def without_surrogates(text: str) -> str:
    """Half of a surrogate pair (a byte of the command line that was no UTF-8) can't be encoded: U+FFFD instead."""
    check_text(text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
