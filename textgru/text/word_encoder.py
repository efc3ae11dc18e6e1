"""Long texts to the ids of a byte-level BPE: word by word, every word once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tokenizers

from textgru.text.tokenizer_file import library_errors

# What a byte-level pre-tokenizer takes for white space. (Python's isspace has four more.)
WHITE_SPACE = "".join(
    map(
        chr,
        [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000],
    )
)
# A word is white space and then other characters, at most this many of each; what is longer is cut into several words.
# Learning takes the square of a word's length. Only text that no person wrote (a genome, base64) has longer words.
LONGEST_WORD = 4096
WORD = re.compile(  # with the white space before it
    f"[{WHITE_SPACE}]{{0,{LONGEST_WORD}}}[^{WHITE_SPACE}]{{1,{LONGEST_WORD}}}|[{WHITE_SPACE}]{{1,{LONGEST_WORD}}}"
)
WORD_END = re.compile(f"[^{WHITE_SPACE}](?=[{WHITE_SPACE}])")
LONGEST_KNOWN_WORD = 40  # characters; longer words rarely occur twice
MOST_KNOWN_WORDS, MOST_KEPT_WORDS = 1 << 18, 1 << 16  # while a text is encoded, and between texts
WORDS = 1000  # joined to one text for the library
PIECE = 1 << 16  # characters, the least that a long text is cut into


class WordEncoder:
    """The library's ids, several times faster where words repeat: it encodes a word once, which is then looked up.

    `lengths` (V,) is the number of bytes of each token.
    """

    def __init__(self, backend: tokenizers.Tokenizer, lengths: np.ndarray, id_type: Any) -> None:
        self._backend, self._lengths, self._id_type = backend, lengths, id_type
        self._known: dict[str, bytes] = {}

    def encode(self, text: str) -> np.ndarray:
        """The ids (n,) of a text which starts and ends where words do."""
        known = self._known
        if len(known) > MOST_KNOWN_WORDS:
            known.clear()
        words = WORD.findall(text)
        new = [word for word in set(words) if word not in known]
        known.update(zip(new, self._encode_each(new), strict=True))
        ids = np.frombuffer(b"".join(map(known.__getitem__, words)), self._id_type)
        for word in new:
            if len(word) > LONGEST_KNOWN_WORD:
                del known[word]
        return ids

    def rest(self) -> None:
        """Between two texts: forgets the known words if they take much memory."""
        if len(self._known) > MOST_KEPT_WORDS:
            self._known.clear()

    def _encode_each(self, words: list[str]) -> Iterator[bytes]:
        """The ids of every word, as bytes. Many words go to the library as one text, which is much faster than one by
        one; where a word's ids end follows from the number of bytes that they stand for."""
        joins = [word[0] in WHITE_SPACE and word[-1] not in WHITE_SPACE for word in words]
        joined = [word for word, join in zip(words, joins, strict=True) if join]
        texts = ["".join(joined[i : i + WORDS]) for i in range(0, len(joined), WORDS)]
        with library_errors("tokenizer: it can't encode this text"):
            parts = [encoding.ids for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]
        ids = np.concatenate([np.zeros(0, self._id_type), *(np.array(part, self._id_type) for part in parts)])
        reached = np.cumsum(self._lengths[ids])
        ends = np.cumsum([len(word.encode()) for word in joined])
        cuts = iter(np.searchsorted(reached, ends, side="right").tolist())
        first = 0
        for word, join in zip(words, joins, strict=True):
            if join:
                last = next(cuts)
                yield ids[first:last].tobytes()
                first = last
            else:  # joined, it could share a token with the word before it
                with library_errors("tokenizer: it can't encode this text"):
                    alone = self._backend.encode(word, add_special_tokens=False).ids
                yield np.array(alone, self._id_type).tobytes()


def word_pieces(blocks: Iterable[str]) -> Iterator[str]:
    """The text of the blocks in pieces of PIECE characters or a little more, each of which ends where a word does. The
    pieces depend on the text, not on how it comes in blocks."""
    waiting: list[str] = []
    size = 0
    for block in blocks:
        waiting.append(block)
        size += len(block)
        if size > (enough := 2 * (PIECE + LONGEST_WORD)):  # enough to see where the next piece ends
            text = "".join(waiting)
            start = 0
            while len(text) - start > enough:
                end = _piece_end(text, start)
                yield text[start:end]
                start = end
            waiting = [text[start:]]
            size = len(text) - start
    text = "".join(waiting)
    start = 0
    while len(text) - start > 2 * PIECE:
        end = _piece_end(text, start)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _piece_end(text: str, start: int) -> int:
    """Where the piece that starts here ends: the first end of a word after PIECE characters."""
    if (found := WORD_END.search(text, start + PIECE - 1, start + 2 * PIECE)) is not None:
        return found.end()
    ends = (word.end() for word in WORD.finditer(text, start))
    return next(end for end in ends if end - start >= PIECE)
