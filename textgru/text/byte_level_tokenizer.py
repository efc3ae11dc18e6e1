"""Byte-level BPE, and bytes themselves."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from textgru.errors import InputError
from textgru.text.bpe_sample import limit_words, sample
from textgru.text.interruptible import feed
from textgru.text.joined_windows import encode_windows, fits_one_window
from textgru.text.tokenizer import (
    DEFAULT_VOCABULARY,
    Blocks,
    StreamDecoder,
    Tokenizer,
    check_ids,
    check_text,
    has_only_eos,
    with_eos,
    without_surrogates,
)
from textgru.text.tokenizer_file import MOST_TOKENS, encode_batch
from textgru.text.word_encoder import LONGEST_WORD, WordEncoder, word_pieces

SMALLEST_BPE_VOCABULARY = 256
PIECES = 4  # of a long text that are encoded at a time: Ctrl-C is heard between two times


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
        self._words = WordEncoder(backend, np.array([len(token) for token in self._bytes]), self.id_type)
        # Bytes that start a character: all but 10xxxxxx.
        self._starts = np.array([sum(byte & 0xC0 != 0x80 for byte in token) for token in self._bytes])

    @classmethod
    def learn(
        cls, blocks: Blocks, *, vocab_size: int | None, eos: bool, on_learning: Callable[[], None] | None
    ) -> ByteLevelTokenizer:
        vocab_size = DEFAULT_VOCABULARY if vocab_size is None else vocab_size
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
        return cls(with_eos(backend, eos))

    @classmethod
    def of_settings(cls, backend: tokenizers.Tokenizer, settings: dict[str, Any]) -> ByteLevelTokenizer | None:
        if not _is_byte_level(settings):
            return None
        by_words = settings["pre_tokenizer"].get("use_regex", True)
        if not by_words and settings["model"]["vocab"] == _byte_vocabulary() and not settings["model"]["merges"]:
            return ByteTokenizer(backend, settings)
        return ByteLevelTokenizer(backend, settings, by_words=by_words)

    def encode(self, text: str) -> np.ndarray:
        text = without_surrogates(text)
        if len(text) <= LONGEST_WORD if self._by_words else fits_one_window(text):
            return np.array(encode_batch(self.backend, [text])[0].ids, np.intp)
        return np.concatenate(list(self.encode_blocks([text]))).astype(np.intp)

    def decode(self, tokens: np.ndarray | list[int]) -> str:
        return b"".join(self._bytes[i] for i in check_ids(tokens, self.vocab_size).tolist()).decode("utf-8", "replace")

    def decoder(self, after: np.ndarray | None = None) -> StreamDecoder:
        return _ByteDecoder(self._bytes)

    def token_bytes(self) -> list[bytes]:
        return list(self._bytes)

    def count_characters(self, tokens: np.ndarray) -> int:
        return int(self._starts[tokens].sum())

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        if self._by_words:
            yield from self._encode_words(word_pieces(blocks))
        else:
            for ids in encode_windows(partial(encode_batch, self.backend), blocks):
                yield ids.astype(self.id_type)

    def _encode_words(self, pieces: Iterator[str]) -> Iterator[np.ndarray]:
        while text := "".join(islice(pieces, PIECES)):
            yield self._words.encode(text)
        self._words.rest()


class ByteTokenizer(ByteLevelTokenizer):
    """One id a byte of UTF-8: the byte itself."""

    kind = "byte"

    @classmethod
    def learn(
        cls, blocks: Blocks, *, vocab_size: int | None, eos: bool, on_learning: Callable[[], None] | None
    ) -> ByteTokenizer:
        backend = tokenizers.Tokenizer(models.BPE(vocab=_byte_vocabulary(), merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        return cls(with_eos(backend, eos))

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(_utf8(check_text(text)), np.uint8).astype(np.intp)

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        for block in blocks:
            yield np.frombuffer(_utf8(block), np.uint8).astype(self.id_type, copy=False)


class _ByteDecoder(StreamDecoder):
    def __init__(self, token_bytes: list[bytes]) -> None:
        self._bytes = token_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        return self._utf8.decode(self._bytes[token])

    def feed_all(self, tokens: list[int]) -> str:
        return self._utf8.decode(b"".join(map(self._bytes.__getitem__, tokens)))


def _is_byte_level(settings: dict[str, Any]) -> bool:
    """Whether these are the settings of a byte-level BPE all of whose tokens stand for bytes."""
    model, before, after = (settings.get(part) or {} for part in ("model", "pre_tokenizer", "decoder"))
    if model.get("type") != "BPE" or before.get("type") != "ByteLevel" or after.get("type") != "ByteLevel":
        return False
    changed = any(model.get(setting) for setting in ("end_of_word_suffix", "continuing_subword_prefix"))
    if changed or settings.get("normalizer") or before.get("add_prefix_space") or not has_only_eos(settings):
        return False
    single = set(_byte_characters())
    return single <= model["vocab"].keys() and all(single.issuperset(token) for token in model["vocab"])


def _byte_characters() -> list[str]:
    """The printable character by which byte-level BPE writes each of the 256 bytes (Radford et al. 2019, GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _byte_vocabulary() -> dict[str, int]:
    return {character: byte for byte, character in enumerate(_byte_characters())}


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return without_surrogates(text).encode("utf-8")
