"""How much of a text stands in the text that a model was trained on, character by character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textgru.analysis.novelty_search import BORDER, Search, Wanted
from textgru.analysis.novelty_source import read_training_text
from textgru.errors import InputError
from textgru.runs.run import Run
from textgru.text.files import normalise

SIZES = (2, 4, 8, 16, 32, 64)
LARGEST_SIZE = 10_000
MOST_CHARACTERS = 2_000_000  # of the text, each of which takes some 600 bytes of memory


@dataclass(frozen=True)
class NGrams:
    """Of the n-grams of a text: `count`, and the share of them, 0 to 1, that is `new`: nowhere in the training text.
    `copied` is the share of the text's characters that stand in one that is not new."""

    n: int
    count: int
    new: float
    copied: float


@dataclass(frozen=True)
class Novelty:
    """What a text has in common with the training's text. All lengths are in characters, so that they mean the same for
    any tokenizer.

    `characters`: of the text. `longest`: the longest passage that stands in both; it begins at character `start` of the
    text (of all texts put together) and at character `place` of the training's, both from 0. `ngrams`: by length.
    `training_characters`: of the training's text. `same_text`: whether that is what the run was trained on; None where
    the run doesn't say.
    """

    characters: int
    longest: str
    start: int
    place: int
    ngrams: list[NGrams]
    training_characters: int
    same_text: bool | None


def novelty(
    texts: str | Sequence[str],
    run: Run,
    *,
    files: Sequence[str | Path] | None = None,
    encoding: str = "utf-8",
    sizes: Sequence[int] = SIZES,
    on_read: Callable[[int, int], None] | None = None,
) -> Novelty:
    """How much of a text, or of several taken together, stands in the text of the run, or in `files` instead: n-grams
    of the lengths `sizes`, 1 to 10,000, and the longest passage. N-grams don't reach from one text into the next.

    It takes time in proportion to the training's text, which is read once, in blocks, and memory to the texts.
    `encoding` is that of the training's text; `on_read` is called with the bytes read so far and in all.
    Raises InputError for texts without a character or of more than 2 million, and where the training's text is gone.
    """
    texts = [normalise(text) for text in ([texts] if isinstance(texts, str) else texts)]
    characters = sum(map(len, texts))
    if not characters:
        raise InputError("text: is empty; give one with at least one character")
    if characters > MOST_CHARACTERS:
        raise InputError(f"text: expected at most {MOST_CHARACTERS:,} characters, got {characters:,}; give a part")
    wrong = [n for n in sizes if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= LARGEST_SIZE]
    if wrong or not sizes:
        raise InputError(f"sizes: expected lengths from 1 to {LARGEST_SIZE:,}, got {wrong[0] if wrong else 'none'}")
    search = Search(texts, sorted(set(sizes)))
    same = read_training_text(run, search, files, encoding, on_read)
    passage = search.points[search.start : search.start + search.length]
    return Novelty(
        characters,
        passage.tobytes().decode("utf-32-le", "surrogatepass"),
        search.start - int(np.count_nonzero(search.points[: search.start] == BORDER)),
        search.place,
        [_ngrams(wanted, characters, len(search.points)) for wanted in search.wanted],
        search.characters,
        same,
    )


def _ngrams(wanted: Wanted, characters: int, points: int) -> NGrams:
    found, count = wanted.found(), len(wanted.starts)
    begins = np.zeros(points + 1, np.int64)
    begins[wanted.starts[found]] += 1
    begins[wanted.starts[found] + wanted.n] -= 1
    copied = int(np.count_nonzero(np.cumsum(begins)))
    new = (count - int(np.count_nonzero(found))) / count if count else 0.0
    return NGrams(wanted.n, count, new, copied / characters)
