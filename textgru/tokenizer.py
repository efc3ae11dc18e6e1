"""Text to token ids and back: characters, bytes, byte-level BPE, or any tokenizer.json of Hugging Face tokenizers.

Every tokenizer is a Hugging Face `tokenizers.Tokenizer` on disk. Characters and bytes are encoded by table look-up
here, which gives the same ids much faster.
"""

from __future__ import annotations

import codecs
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers

from textgru.bpe_sample import limit_words, sample
from textgru.core import get_num_threads
from textgru.encoding_processes import encode_in_processes
from textgru.errors import InputError
from textgru.interruptible import feed
from textgru.joined_windows import encode_windows, fits_one_window
from textgru.tokenizer_file import MOST_TOKENS, encode_batch, parse, read_text
from textgru.word_encoder import LONGEST_WORD, WordEncoder, word_pieces

KINDS = ("char", "byte", "bpe")
UNKNOWN = "<unk>"
REPLACEMENT = "\ufffd"
SMALLEST_BPE_VOCABULARY = 256
DEFAULT_VOCABULARY = 1024
CODE_POINTS = 0x110000
PIECES = 16  # of a long text that the BPE encoder gets at a time
END_OF_TEXT = "<|endoftext|>"  # the token between documents, where there is one
ALONE = 8  # million characters of a text that are encoded before other processes help
MOST_PROCESSES = 4  # each takes about 150 MB

Blocks = Callable[[], Iterable[str]]


class StreamDecoder(ABC):
    """Turns token ids into text one at a time, holding back what does not yet make a whole character."""

    @abstractmethod
    def feed(self, token: int) -> str:
        """The text that is complete with this token; it may be empty."""


class Tokenizer(ABC):
    """What all tokenizers do. Make one with `Tokenizer.train`, `Tokenizer.load` or `Tokenizer.from_json`.

    `vocab_size` is the number of ids, `unk_id` the id of the unknown token or None, `eos_id` that of the token which
    ends a document ("<|endoftext|>"; no text stands for it and it stands for no text) or None, `kind` "char", "byte",
    "bpe" or "custom", `id_type` the smallest unsigned integers that hold the ids.
    """

    kind: str

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
        A bpe vocabulary is learned from at most 50 million characters (textgru.bpe_sample), on another thread, which
        also reads the blocks; `on_learning` is called time and again from when they are all read. Raises InputError for
        values that can't be.
        """
        if vocab_size is not None and kind != "bpe":
            raise InputError(
                f"vocab_size: only the bpe tokenizer has one to set; a {kind} tokenizer takes what it finds"
            )
        if kind == "char":
            return CharTokenizer.from_blocks(blocks(), eos=eos)
        if kind == "byte":
            return ByteTokenizer.build(eos=eos)
        if kind == "bpe":
            return ByteLevelTokenizer.from_blocks(
                blocks, DEFAULT_VOCABULARY if vocab_size is None else vocab_size, eos=eos, on_learning=on_learning
            )
        raise InputError(f"tokenizer: expected one of {', '.join(KINDS)} or the path of a tokenizer.json, got {kind!r}")

    @staticmethod
    def load(path: str | Path) -> Tokenizer:
        """The tokenizer in a tokenizer.json. Raises InputError if it can't be read."""
        try:
            return Tokenizer.from_json(read_text(path))
        except InputError as error:
            raise InputError(str(error) if str(error).startswith(f"{path}: ") else f"{path}: {error}") from error

    @staticmethod
    def from_json(text: str) -> Tokenizer:
        """The tokenizer in the text of a tokenizer.json. Raises InputError if it isn't one."""
        from textgru.custom_tokenizer import CustomTokenizer  # which is a Tokenizer itself

        backend, settings = parse(text)
        if _is_char(settings):
            return CharTokenizer(backend, settings)
        if _is_byte_level(settings):
            by_words = settings["pre_tokenizer"].get("use_regex", True)
            if not by_words and settings["model"]["vocab"] == _byte_vocabulary() and not settings["model"]["merges"]:
                return ByteTokenizer(backend, settings)
            return ByteLevelTokenizer(backend, settings, by_words=by_words)
        return CustomTokenizer(backend, settings)

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

    @classmethod
    def from_blocks(cls, blocks: Iterable[str], *, eos: bool = False) -> CharTokenizer:
        seen = np.zeros(CODE_POINTS, bool)
        for block in blocks:
            points = _code_points(block)
            seen[points[~_look_up(seen, points)]] = True
        characters = [chr(point) for point in np.flatnonzero(seen)]
        vocabulary = {UNKNOWN: 0} | {character: i for i, character in enumerate(characters, start=1)}
        settings = _char_settings()
        settings["model"]["vocab"] = vocabulary
        return cls(_with_eos(tokenizers.Tokenizer.from_str(json.dumps(settings)), eos))

    def encode(self, text: str) -> np.ndarray:
        return _look_up(self._ids, _code_points(text)).astype(np.intp)

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        for block in blocks:
            yield _look_up(self._ids, _code_points(block))

    def decode(self, tokens: np.ndarray | list[int]) -> str:
        return "".join(self._characters[np.asarray(tokens, np.intp)])

    def decoder(self, after: np.ndarray | None = None) -> StreamDecoder:
        return _CharDecoder(self._characters)

    def count_characters(self, tokens: np.ndarray) -> int:
        return len(tokens) - (0 if self.eos_id is None else int(np.count_nonzero(tokens == self.eos_id)))


class ByteLevelTokenizer(Tokenizer):
    """Byte-level BPE: every token stands for some bytes of UTF-8, so that any text has ids. They are the library's but
    for words of more than LONGEST_WORD characters, which are cut."""

    kind = "bpe"

    def __init__(
        self, backend: tokenizers.Tokenizer, settings: dict[str, Any] | None = None, *, by_words: bool = True
    ) -> None:
        """`by_words`: no token reaches over the white space before a word."""
        super().__init__(backend, settings)
        backend.encode_special_tokens = True  # in a text, "<|endoftext|>" is a text
        self._by_words = by_words
        byte_of = {character: byte for byte, character in enumerate(_byte_characters())}
        self._bytes = [b""] * self.vocab_size
        for token, i in backend.get_vocab().items():
            if i != self.eos_id:
                self._bytes[i] = bytes(byte_of[character] for character in token)
        self.words = WordEncoder(backend, np.array([len(token) for token in self._bytes]), self.id_type)
        # Bytes that start a character: all but 10xxxxxx.
        self._starts = np.array([sum(byte & 0xC0 != 0x80 for byte in token) for token in self._bytes])

    @classmethod
    def from_blocks(
        cls, blocks: Blocks, vocab_size: int, *, eos: bool = False, on_learning: Callable[[], None] | None = None
    ) -> ByteLevelTokenizer:
        if isinstance(vocab_size, bool) or not isinstance(vocab_size, Integral):
            raise InputError(f"vocab_size: expected a whole number, got {vocab_size!r}")
        if vocab_size > MOST_TOKENS:
            shown = f"{vocab_size:,}" if vocab_size < 10**30 else "more than 10^30"
            raise InputError(f"vocab_size: expected at most {MOST_TOKENS:,}, got {shown}; 1,000 to 50,000 are usual")
        smallest = SMALLEST_BPE_VOCABULARY + eos
        if vocab_size < smallest:
            why = "one token a byte, and one between documents" if eos else "one token a byte"
            raise InputError(f"vocab_size: expected at least {smallest} ({why}), got {vocab_size}")
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=int(vocab_size) - eos, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
        texts = limit_words(word_pieces(sample(blocks)))
        feed(lambda texts: backend.train_from_iterator(texts, trainer), texts, on_learning)
        return cls(_with_eos(backend, eos))

    def encode(self, text: str) -> np.ndarray:
        text = without_surrogates(text)
        if len(text) <= LONGEST_WORD if self._by_words else fits_one_window(text):
            return np.array(encode_batch(self.backend, [text])[0].ids, np.intp)
        return np.concatenate(list(self.encode_blocks([text]))).astype(np.intp)

    def decode(self, tokens: np.ndarray | list[int]) -> str:
        return b"".join(self._bytes[i] for i in tokens).decode("utf-8", "replace")

    def decoder(self, after: np.ndarray | None = None) -> StreamDecoder:
        return _ByteDecoder(self._bytes)

    def count_characters(self, tokens: np.ndarray) -> int:
        return int(self._starts[tokens].sum())

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        if self._by_words:
            yield from self._encode_words(word_pieces(blocks))
        else:
            for ids in encode_windows(partial(encode_batch, self.backend), blocks):
                yield ids.astype(self.id_type)

    def _encode_words(self, pieces: Iterator[str]) -> Iterator[np.ndarray]:
        texts = iter(lambda: "".join(islice(pieces, PIECES)), "")
        for text in islice(texts, ALONE):
            yield self.words.encode(text)
        self.words.rest()
        if (more := next(texts, None)) is not None:
            rest, processes = chain([more], texts), min(get_num_threads(), MOST_PROCESSES)
            if processes > 1 and sys.executable:
                yield from encode_in_processes(self.to_json(), rest, self.id_type, processes)
            else:
                yield from map(self.words.encode, rest)
                self.words.rest()


class ByteTokenizer(ByteLevelTokenizer):
    """One id a byte of UTF-8: the byte itself."""

    kind = "byte"

    @classmethod
    def build(cls, *, eos: bool = False) -> ByteTokenizer:
        backend = tokenizers.Tokenizer(models.BPE(vocab=_byte_vocabulary(), merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        return cls(_with_eos(backend, eos))

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(_utf8(text), np.uint8).astype(np.intp)

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        for block in blocks:
            yield np.frombuffer(_utf8(block), np.uint8).astype(self.id_type, copy=False)


class _CharDecoder(StreamDecoder):
    def __init__(self, characters: np.ndarray) -> None:
        self._characters = characters

    def feed(self, token: int) -> str:
        return str(self._characters[token])


class _ByteDecoder(StreamDecoder):
    def __init__(self, token_bytes: list[bytes]) -> None:
        self._bytes = token_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        return self._utf8.decode(self._bytes[token])


def _with_eos(backend: tokenizers.Tokenizer, eos: bool) -> tokenizers.Tokenizer:
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


def _is_char(settings: dict[str, Any]) -> bool:
    """Whether these are the settings of a CharTokenizer, but for its vocabulary."""
    model, own = settings["model"], _char_settings()
    same = all(settings.get(part) == own[part] for part in ("normalizer", "pre_tokenizer", "decoder"))
    return same and model.get("type") == "WordLevel" and model.get("unk_token") in model["vocab"] and _plain(settings)


def _is_byte_level(settings: dict[str, Any]) -> bool:
    """Whether these are the settings of a byte-level BPE all of whose tokens stand for bytes."""
    model, before, after = (settings.get(part) or {} for part in ("model", "pre_tokenizer", "decoder"))
    if model.get("type") != "BPE" or before.get("type") != "ByteLevel" or after.get("type") != "ByteLevel":
        return False
    changed = any(model.get(setting) for setting in ("end_of_word_suffix", "continuing_subword_prefix"))
    if changed or settings.get("normalizer") or before.get("add_prefix_space") or not _plain(settings):
        return False
    single = set(_byte_characters())
    return single <= model["vocab"].keys() and all(single.issuperset(token) for token in model["vocab"])


def _plain(settings: dict[str, Any]) -> bool:
    """Whether it has no added tokens but the one that ends a document."""
    added = settings.get("added_tokens") or []
    return not added or (len(added) == 1 and added[0]["content"] == END_OF_TEXT and added[0]["special"])


def _char_settings() -> dict:  # type: ignore[type-arg]
    backend = tokenizers.Tokenizer(models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    settings: dict = json.loads(backend.to_str())  # type: ignore[type-arg]
    return settings


def _byte_characters() -> list[str]:
    """The printable character by which byte-level BPE writes each of the 256 bytes (Radford et al. 2019, GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _byte_vocabulary() -> dict[str, int]:
    return {character: byte for byte, character in enumerate(_byte_characters())}


def _code_points(text: str) -> np.ndarray:
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def without_surrogates(text: str) -> str:
    """Half of a surrogate pair (a byte of the command line that was no UTF-8) can't be encoded: U+FFFD instead."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _look_up(table: np.ndarray, points: np.ndarray) -> np.ndarray:
    """table[points] for a table of all code points, faster: none is outside."""
    return np.take(table, points, mode="clip")


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return without_surrogates(text).encode("utf-8")
