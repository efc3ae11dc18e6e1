"""Tokenizers from elsewhere: any tokenizer.json, encoded and decoded by the tokenizers library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
import tokenizers

from textgru.errors import InputError
from textgru.text.joined_windows import encode_windows, fits_one_window
from textgru.text.tokenizer import REPLACEMENT, StreamDecoder, Tokenizer, check_ids, without_surrogates
from textgru.text.tokenizer_file import encode_batch, library_errors

MOST_HELD = 16  # tokens that wait for the rest of a character
LONGEST_NAMED = 40  # characters of an unknown word
CONTEXT = 32  # tokens of the prompt that the new ones are decoded after


class CustomTokenizer(Tokenizer):
    """The ids are the library's for the whole text, without the tokens that a post-processor adds. A special token that
    stands in a text is text; ids of special tokens are decoded to their names, but for the end of a document."""

    kind = "custom"

    def __init__(self, backend: tokenizers.Tokenizer, settings: dict[str, Any]) -> None:
        super().__init__(backend, settings)
        model = settings["model"]
        self._affixes = [model.get(name) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix")]
        special = {token["content"] for token in settings.get("added_tokens") or [] if token["special"]}
        names = {byte: f"<0x{byte:02X}>" for byte in range(256)}
        ids = {byte: backend.token_to_id(name) for byte, name in names.items() if name in special}
        self._id_of_byte = {byte: i for byte, i in ids.items() if i is not None}
        self._special_bytes = {i: byte for byte, i in self._id_of_byte.items()}
        drops = model.get("type", "BPE") == "BPE" and self.unk_id is None and not model.get("byte_fallback")
        self._dropped: dict[str, bool] | None = {} if drops else None

    @classmethod
    def of_settings(cls, backend: tokenizers.Tokenizer, settings: dict[str, Any]) -> CustomTokenizer:
        return cls(backend, settings)

    def encode(self, text: str) -> np.ndarray:
        text = without_surrogates(text)
        if fits_one_window(text):
            return np.array(self._encode([text])[0].ids, np.intp)
        return np.concatenate(list(encode_windows(self._encode, [text])))

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        for ids in encode_windows(self._encode, map(without_surrogates, blocks)):
            yield ids.astype(self.id_type)

    def decode(self, tokens: np.ndarray | list[int]) -> str:
        ids = self._without_broken_bytes([i for i in check_ids(tokens, self.vocab_size).tolist() if i != self.eos_id])
        with library_errors("tokenizer: it can't decode these tokens"):
            return str(self.backend.decode(ids, skip_special_tokens=False))

    def decoder(self, after: np.ndarray | None = None) -> StreamDecoder:
        return _LibraryDecoder(self, [] if after is None else after[-CONTEXT:].tolist())

    def unknown_characters(self, text: str) -> list[str]:
        """The distinct parts of a text (characters, or whole words) that become the unknown token, in order."""
        if self.unk_id is None:
            return []
        text = without_surrogates(text)
        (encoding,) = self._encode([text])
        spans = (span for i, span in zip(encoding.ids, encoding.offsets, strict=True) if i == self.unk_id)
        return list(dict.fromkeys(text[start:end].strip() or text[start:end] for start, end in spans))

    def _without_broken_bytes(self, ids: list[int]) -> list[int]:
        """Some tokenizers have their bytes as special tokens. Those that make no character are left out, as the library
        leaves special tokens out; the others are text."""
        if not self._special_bytes:
            return ids
        whole: list[int] = []
        for are_bytes, part in groupby(ids, self._special_bytes.__contains__):
            if are_bytes:
                text = bytes(self._special_bytes[i] for i in part).decode("utf-8", "ignore")
                whole += [self._id_of_byte[byte] for byte in text.encode()]
            else:
                whole += part
        return whole

    def _encode(self, texts: list[str]) -> list[tokenizers.Encoding]:
        if self._dropped is not None:
            self._refuse_dropped(set().union(*texts))
        try:
            return encode_batch(self.backend, texts)
        except InputError:
            if self.unk_id is None:
                self._refuse_unknown(texts)
            raise

    def _refuse_dropped(self, characters: set[str]) -> None:
        """Raises InputError for a character that the model would leave out of the text without a word."""
        assert self._dropped is not None
        for character in sorted(characters - self._dropped.keys()):
            self._dropped[character] = not all(self._has(part) for piece in self._words(character) for part in piece)
        if unknown := [character for character in sorted(characters) if self._dropped[character]]:
            raise _unknown(unknown[0])

    def _refuse_unknown(self, texts: list[str]) -> None:
        """Raises InputError for the first word, or character, without an id."""
        for text in texts:
            for word in self._words(text):
                if self.backend.token_to_id(word) is None:
                    unknown = [character for character in word if not self._has(character)]
                    by_words = self.settings["model"].get("type") in ("WordLevel", "WordPiece")
                    if by_words or unknown:
                        raise _unknown(word if by_words else unknown[0])

    def _words(self, text: str) -> list[str]:
        """What the model gets of a text."""
        with library_errors("tokenizer: it can't encode this text"):
            normalized = self.backend.normalizer.normalize_str(text) if self.backend.normalizer else text
            if not self.backend.pre_tokenizer:
                return [normalized]
            return [word for word, _ in self.backend.pre_tokenizer.pre_tokenize_str(normalized)]

    def _has(self, character: str) -> bool:
        prefix, suffix = self._affixes
        forms = {character, prefix + character, character + suffix, prefix + character + suffix}
        return any(self.backend.token_to_id(form) is not None for form in forms)


class _LibraryDecoder(StreamDecoder):
    """Decodes the new tokens after those before them, and gives what is new of the text: whether there is a blank
    before a token depends on whether it is the first."""

    def __init__(self, tokenizer: CustomTokenizer, before: list[int]) -> None:
        self._tokenizer = tokenizer
        while before and tokenizer.decode(before).startswith(REPLACEMENT):  # starts within a character
            del before[0]
        self._before = [before]  # what is decoded before the new ones, in parts that are whole characters
        self._held: list[int] = []

    def feed(self, token: int) -> str:
        self._held.append(int(token))
        before = [i for part in self._before for i in part]
        text = self._tokenizer.decode(before + self._held)
        itself = REPLACEMENT in (self._tokenizer.backend.id_to_token(int(token)) or "")
        if text.endswith(REPLACEMENT) and not itself and len(self._held) < MOST_HELD:
            return ""
        self._before.append(self._held)
        self._held = []
        while len(self._before) > 1 and sum(map(len, self._before[1:])) >= CONTEXT:
            del self._before[0]
        known = self._tokenizer.decode(before)
        return text[next((i for i, (a, b) in enumerate(zip(known, text, strict=False)) if a != b), len(known)) :]


def _unknown(part: str) -> InputError:
    return InputError(
        f"tokenizer: it has no token for {part[:LONGEST_NAMED]!a}, and none for what is unknown; "
        "give it an unk_token that is in its vocabulary, or take another tokenizer"
    )
