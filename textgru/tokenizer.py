"""Text to token ids and back: characters, bytes, byte-level BPE, or any tokenizer.json of Hugging Face tokenizers.

Every tokenizer is a Hugging Face `tokenizers.Tokenizer` on disk. Characters and bytes are encoded by table look-up
here, which gives the same ids much faster.
"""

from __future__ import annotations

import codecs
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers.decoders import DecodeStream

from textgru.errors import InputError

KINDS = ("char", "byte", "bpe")
UNKNOWN = "<unk>"
REPLACEMENT = "\ufffd"
SMALLEST_BPE_VOCABULARY = 256
CODE_POINTS = 0x110000
PIECE = 1 << 16  # characters that the BPE encoder gets at a time

Blocks = Callable[[], Iterable[str]]


class StreamDecoder(ABC):
    """Turns token ids into text one at a time, holding back what does not yet make a whole character."""

    @abstractmethod
    def feed(self, token: int) -> str:
        """The text that is complete with this token; it may be empty."""


class Tokenizer(ABC):
    """What all tokenizers do. Make one with `Tokenizer.train`, `Tokenizer.load` or `Tokenizer.from_json`.

    `vocab_size` is the number of ids, `unk_id` the id of the unknown token or None, `kind` "char", "byte", "bpe" or
    "custom".
    """

    kind: str

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self.backend = backend
        self.vocab_size = max(backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        if self.vocab_size < 1:
            raise InputError("tokenizer: its vocabulary is empty")
        unk_token = json.loads(backend.to_str())["model"].get("unk_token")
        self.unk_id: int | None = backend.token_to_id(unk_token) if isinstance(unk_token, str) else None

    @staticmethod
    def train(kind: str, blocks: Blocks, *, vocab_size: int | None = None) -> Tokenizer:
        """A tokenizer of this kind ("char", "byte" or "bpe") for the text whose blocks `blocks()` yields.

        `vocab_size` (bpe only, default 1024) is the most tokens there may be. Raises InputError for values that
        can't be.
        """
        if vocab_size is not None and kind != "bpe":
            raise InputError(
                f"vocab_size: only the bpe tokenizer has one to set; a {kind} tokenizer takes what it finds"
            )
        if kind == "char":
            return CharTokenizer.from_blocks(blocks())
        if kind == "byte":
            return ByteTokenizer.build()
        if kind == "bpe":
            return ByteLevelTokenizer.from_blocks(blocks(), 1024 if vocab_size is None else vocab_size)
        raise InputError(f"tokenizer: expected one of {', '.join(KINDS)} or the path of a tokenizer.json, got {kind!r}")

    @staticmethod
    def load(path: str | Path) -> Tokenizer:
        """The tokenizer in a tokenizer.json. Raises InputError if it can't be read."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: can't be read as a tokenizer.json: {error}") from error
        try:
            return Tokenizer.from_json(text)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @staticmethod
    def from_json(text: str) -> Tokenizer:
        """The tokenizer in the text of a tokenizer.json. Raises InputError if it isn't one."""
        try:
            backend = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises Exception itself
            raise InputError(f"not a tokenizer.json that the tokenizers library can read: {error}") from error
        settings = json.loads(text)
        model, before, after = (settings.get(key) or {} for key in ("model", "pre_tokenizer", "decoder"))
        plain = not settings.get("normalizer") and not settings.get("added_tokens")
        if plain and before == _char_settings()["pre_tokenizer"] and model.get("type") == "WordLevel":
            return CharTokenizer(backend)
        if plain and before.get("type") == "ByteLevel" and after.get("type") == "ByteLevel":
            if not before["use_regex"] and model.get("vocab") == _byte_vocabulary() and not model.get("merges"):
                return ByteTokenizer(backend)
            if not before["add_prefix_space"] and set(_byte_vocabulary()) <= set(model.get("vocab", ())):
                return ByteLevelTokenizer(backend)
        return CustomTokenizer(backend)

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
    def decoder(self) -> StreamDecoder:
        """A fresh decoder for a stream of ids."""

    def count_characters(self, tokens: np.ndarray) -> int:
        """How many characters the ids (n,) stand for."""
        return len(self.decode(tokens))

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        """The ids of a long text that comes in blocks, in arrays; the same ids as if it came in one."""
        for block in blocks:
            yield self.encode(block)

    def unknown_characters(self, text: str) -> list[str]:
        """The distinct characters of a text that become the unknown token, in order of appearance."""
        if self.unk_id is None:
            return []
        return [c for c in dict.fromkeys(text) if self.unk_id in self.encode(c)]


class CharTokenizer(Tokenizer):
    """One id a Unicode character; characters not seen in training become the unknown token, id 0."""

    kind = "char"

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        super().__init__(backend)
        self._characters = np.full(self.vocab_size, REPLACEMENT, dtype=object)
        self._ids = np.full(CODE_POINTS, self.unk_id or 0, np.int32)
        for token, i in backend.get_vocab().items():
            if len(token) == 1:
                self._characters[i] = token
                self._ids[ord(token)] = i

    @classmethod
    def from_blocks(cls, blocks: Iterable[str]) -> CharTokenizer:
        seen = np.zeros(CODE_POINTS, bool)
        for block in blocks:
            seen[_code_points(block)] = True
        characters = [chr(point) for point in np.flatnonzero(seen)]
        vocabulary = {UNKNOWN: 0} | {character: i for i, character in enumerate(characters, start=1)}
        settings = _char_settings()
        settings["model"]["vocab"] = vocabulary
        return cls(tokenizers.Tokenizer.from_str(json.dumps(settings)))

    def encode(self, text: str) -> np.ndarray:
        ids: np.ndarray = self._ids[_code_points(text)].astype(np.intp)
        return ids

    def decode(self, tokens: np.ndarray | list[int]) -> str:
        return "".join(self._characters[np.asarray(tokens, np.intp)])

    def decoder(self) -> StreamDecoder:
        return _CharDecoder(self._characters)

    def count_characters(self, tokens: np.ndarray) -> int:
        return len(tokens)


class ByteLevelTokenizer(Tokenizer):
    """Byte-level BPE: every token stands for some bytes of UTF-8, so that any text has ids."""

    kind = "bpe"

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        super().__init__(backend)
        byte_of = {character: byte for byte, character in enumerate(_byte_characters())}
        self._bytes = [b""] * self.vocab_size
        for token, i in backend.get_vocab().items():
            self._bytes[i] = bytes(byte_of[character] for character in token)
        # Bytes that start a character: all but 10xxxxxx.
        self._starts = np.array([sum(byte & 0xC0 != 0x80 for byte in token) for token in self._bytes])

    @classmethod
    def from_blocks(cls, blocks: Iterable[str], vocab_size: int) -> ByteLevelTokenizer:
        if vocab_size < SMALLEST_BPE_VOCABULARY:
            raise InputError(
                f"vocab_size: expected at least {SMALLEST_BPE_VOCABULARY} (one token a byte), got {vocab_size}"
            )
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
        backend.train_from_iterator(_pieces(blocks), trainer)
        return cls(backend)

    def encode(self, text: str) -> np.ndarray:
        return np.array(self.backend.encode(_without_surrogates(text), add_special_tokens=False).ids, np.intp)

    def decode(self, tokens: np.ndarray | list[int]) -> str:
        return b"".join(self._bytes[i] for i in tokens).decode("utf-8", "replace")

    def decoder(self) -> StreamDecoder:
        return _ByteDecoder(self._bytes)

    def count_characters(self, tokens: np.ndarray) -> int:
        return int(self._starts[tokens].sum())

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        pieces: list[str] = []
        for piece in _pieces(blocks):
            pieces.append(piece)
            if len(pieces) == 16:
                yield self._encode_pieces(pieces)
                pieces = []
        if pieces:
            yield self._encode_pieces(pieces)

    def _encode_pieces(self, pieces: list[str]) -> np.ndarray:
        encodings = self.backend.encode_batch_fast(pieces, add_special_tokens=False)
        return np.concatenate([np.array(encoding.ids, np.intp) for encoding in encodings])


class ByteTokenizer(ByteLevelTokenizer):
    """One id a byte of UTF-8: the byte itself."""

    kind = "byte"

    @classmethod
    def build(cls) -> ByteTokenizer:
        backend = tokenizers.Tokenizer(models.BPE(vocab=_byte_vocabulary(), merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        return cls(backend)

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(_without_surrogates(text).encode("utf-8"), np.uint8).astype(np.intp)

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        return map(self.encode, blocks)


class CustomTokenizer(Tokenizer):
    """Any other tokenizer.json, encoded and decoded by the tokenizers library."""

    kind = "custom"

    def encode(self, text: str) -> np.ndarray:
        return np.array(self.backend.encode(_without_surrogates(text), add_special_tokens=False).ids, np.intp)

    def decode(self, tokens: np.ndarray | list[int]) -> str:
        return str(self.backend.decode([int(i) for i in tokens]))

    def decoder(self) -> StreamDecoder:
        return _LibraryDecoder(self.backend)

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        return map(self.encode, _pieces(blocks))


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


class _LibraryDecoder(StreamDecoder):
    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        self._stream = DecodeStream(skip_special_tokens=True)

    def feed(self, token: int) -> str:
        return self._stream.step(self._backend, int(token)) or ""


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
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _without_surrogates(text: str) -> str:
    """Half of a surrogate pair (a byte of the command line that was no UTF-8) can't be encoded: U+FFFD instead."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _pieces(blocks: Iterable[str]) -> Iterator[str]:
    """The text of the blocks cut anew into pieces of about PIECE characters, each cut just before white space that
    follows something else: there a byte-level pre-tokenizer starts a new word whatever comes before."""
    rest = ""
    for block in blocks:
        rest += block
        start = 0
        while len(rest) - start > 2 * PIECE:
            end = start + PIECE
            while end < len(rest) - 1 and not (rest[end].isspace() and not rest[end - 1].isspace()):
                end += 1
            if end >= len(rest) - 1 and end - start < 16 * PIECE:
                break
            yield rest[start:end]
            start = end
        rest = rest[start:]
    if rest:
        yield rest
