"""The part of a long text from which a bpe vocabulary is learned: enough for that, in bounded memory and time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from textgru.text.word_encoder import LONGEST_WORD, WORD

SAMPLE = 50_000_000  # characters, at most
DISTINCT = 6_000_000  # bytes of different words, at most: learning takes about 90 bytes of memory for each


def sample(blocks: Callable[[], Iterable[str]]) -> Iterator[str]:
    """All blocks of a text of up to SAMPLE characters; of a longer one blocks spread evenly over it, of about SAMPLE
    characters in all."""
    total = sum(map(len, blocks()))
    taken = read = 0
    for block in blocks():
        if taken * total <= read * min(SAMPLE, total):
            yield block
            taken += len(block)
        read += len(block)


def limit_words(pieces: Iterable[str], limit: int = DISTINCT, expected: int = SAMPLE) -> Iterator[str]:
    """The pieces, without new words once the different ones have reached a limit, as in a script without spaces.

    `limit`: bytes of different words. Half of it may be used from the start, the other half becomes available as the
    text of about `expected` characters is read, so that its later parts have a share.
    """
    seen: set[str] = set()
    size = read = 0
    for piece in pieces:
        read += len(piece)
        words = WORD.findall(piece)
        for word in dict.fromkeys(words):
            if word not in seen and 2 * size <= limit + limit * read // expected:
                seen.add(word)
                size += len(word.encode())
        kept = [word for word in words if word in seen]
        first = 0
        if len(piece) >= LONGEST_WORD and max(map(len, words)) >= LONGEST_WORD:
            for i, word in enumerate(kept):  # a word that was cut stays apart from what follows
                if len(word) >= LONGEST_WORD:
                    yield "".join(kept[first:i])
                    yield word
                    first = i + 1
        yield "".join(kept[first:])
