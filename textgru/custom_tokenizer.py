"""Tokenizers from elsewhere: any tokenizer.json, encoded and decoded by the tokenizers library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tokenizers

from textgru.errors import InputError
from textgru.joined_windows import encode_windows, fits_one_window
from textgru.tokenizer import REPLACEMENT, StreamDecoder, Tokenizer, without_surrogates
from textgru.tokenizer_file import encode_batch, library_errors, shortened

MOST_HELD = 16  # tokens that wait for the rest of a character
CONTEXT = 32  # tokens of the prompt that the new ones are decoded after


class CustomTokenizer(Tokenizer):
    """The ids are the library's for the whole text, without the tokens that a post-processor adds. A special token that
    stands in a text is text; ids of special tokens are decoded to their names, but for the end of a document."""

    kind = "custom"

    def __init__(self, backend: tokenizers.Tokenizer, settings: dict[str, Any]) -> None:
        super().__init__(backend, settings)
        model = settings["model"]
        self._affixes = [model.get(name) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix")]
        drops = model.get("type", "BPE") == "BPE" and self.unk_id is None and not model.get("byte_fallback")
        self._dropped: dict[str, bool] | None = {} if drops else None

    def encode(self, text: str) -> np.ndarray:
        text = without_surrogates(text)
        if fits_one_window(text):
            return np.array(self._encode([text])[0].ids, np.intp)
        return np.concatenate(list(encode_windows(self._encode, [text])))

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[np.ndarray]:
        for ids in encode_windows(self._encode, map(without_surrogates, blocks)):
            yield ids.astype(self.id_type)

    def decode(self, tokens: np.ndarray | list[int]) -> str:
        return decode(self.backend, [int(i) for i in tokens if i != self.eos_id])

    def decoder(self, after: np.ndarray | None = None) -> StreamDecoder:
        return _LibraryDecoder(self.backend, self.eos_id, [] if after is None else after[-CONTEXT:].tolist())

    def unknown_characters(self, text: str) -> list[str]:
        """The distinct parts of a text (characters, or whole words) that become the unknown token, in order."""
        if self.unk_id is None:
            return []
        text = without_surrogates(text)
        (encoding,) = self._encode([text])
        spans = (span for i, span in zip(encoding.ids, encoding.offsets, strict=True) if i == self.unk_id)
        return list(dict.fromkeys(text[start:end].strip() or text[start:end] for start, end in spans))

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

    def __init__(self, backend: tokenizers.Tokenizer, eos_id: int | None, before: list[int]) -> None:
        self._backend, self._eos_id = backend, eos_id
        before = [i for i in before if i != eos_id]
        while before and decode(backend, before).startswith(REPLACEMENT):  # starts within a character
            del before[0]
        self._before = [before]  # what is decoded before the new ones, in parts that are whole characters
        self._held: list[int] = []

    def feed(self, token: int) -> str:
        if token == self._eos_id:
            return ""
        self._held.append(int(token))
        before = [i for part in self._before for i in part]
        text = decode(self._backend, before + self._held)
        itself = REPLACEMENT in (self._backend.id_to_token(int(token)) or "")
        if text.endswith(REPLACEMENT) and not itself and len(self._held) < MOST_HELD:
            return ""
        self._before.append(self._held)
        self._held = []
        while len(self._before) > 1 and sum(map(len, self._before[1:])) >= CONTEXT:
            del self._before[0]
        known = decode(self._backend, before)
        return text[next((i for i, (a, b) in enumerate(zip(known, text, strict=False)) if a != b), len(known)) :]


def decode(backend: tokenizers.Tokenizer, ids: list[int]) -> str:
    """The library's text of the ids, special tokens included. Raises InputError where it fails."""
    with library_errors("tokenizer: it can't decode these tokens"):
        return str(backend.decode(ids, skip_special_tokens=False))


def _unknown(part: str) -> InputError:
    return InputError(
        f"tokenizer: it has no token for {shortened(part, 40)!a}, and none for what is unknown; "
        "give it an unk_token that is in its vocabulary, or take another tokenizer"
    )
