"""Where a text ends: how long it may be, and what it ends at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from textgru.errors import InputError
from textgru.typed import Range, check_fields, shown

DEFAULT_LENGTH = 500  # tokens
MOST_TOKENS_A_CHARACTER = 16  # that are drawn where only characters are counted
SEARCHED = 1000  # characters at the end of a text in which a regular expression is looked for
LONGEST_ENDING = 100  # characters of punctuation and what follows, where a sentence ends
MOST = 10**12

FinishReason = Literal["length", "stop", "eos"]

# Punctuation and closing quotes or brackets, then white space; or the full stop of Chinese and Japanese.
SENTENCE_END = re.compile(r"""[.!?…]["'”’»)\]]*(?=\s)|[。！？][」』”’）]*(?=[^」』”’）。！？])""")


@dataclass(frozen=True)
class Stopping:
    """When a text ends. Raises InputError for values that can't be.

    `length`: new tokens (default 500, or no limit of their own where `length_chars` is given). `length_chars`: new
    characters. `stop`: strings; the text ends before the first that is complete, and no part of it is shown.
    `stop_at`: "line" ends before the next line end, "sentence" after the next sentence (punctuation that white space
    follows: the point of "Mr. Smith" is one too). `stop_regex`: a regular expression (Python's re); the text ends with
    the first token after which it is found in the last 1,000 new characters, and what was found is shown. One with
    nested repetitions, such as "(a+)+b", may search for hours; Ctrl-C ends it.
    `stop_tokens`: ids that end a text as the end of a document does.
    """

    length: Annotated[int | None, Range(0, MOST)] = None
    length_chars: Annotated[int | None, Range(0, MOST)] = None
    stop: tuple[str, ...] = ()
    stop_at: Literal["document", "line", "sentence"] = "document"
    stop_regex: str | None = None
    stop_tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", _several("stop", self.stop, str, "strings of at least one character"))
        object.__setattr__(self, "stop_tokens", _several("stop_tokens", self.stop_tokens, int, "ids of tokens"))
        check_fields(self)
        if self.stop_regex is not None:
            try:
                found = re.compile(self.stop_regex).search("")
            except (re.error, OverflowError, RecursionError) as error:
                raise InputError(f"stop_regex: no regular expression: {error}") from error
            if found:
                raise InputError(f"stop_regex: {shown(self.stop_regex)} is found in an empty text; ask for a character")

    @property
    def tokens(self) -> int:
        """The most tokens there may be."""
        if self.length is not None:
            return self.length
        if self.length_chars is not None:
            return MOST_TOKENS_A_CHARACTER * self.length_chars
        return DEFAULT_LENGTH

    @property
    def strings(self) -> tuple[str, ...]:
        """All before which it ends."""
        return self.stop + (("\n",) if self.stop_at == "line" else ())

    def finder(self) -> Finder | None:
        """What looks for the end of one text, where it is more than a number of tokens."""
        strings = self.strings
        patterns = [(SENTENCE_END, LONGEST_ENDING)] if self.stop_at == "sentence" else []
        if self.stop_regex is not None:
            patterns.append((re.compile(self.stop_regex), SEARCHED))
        if not strings and not patterns and self.length_chars is None:
            return None
        return Finder(strings, patterns, self.length_chars)


class Finder:
    """Reads the text of one token after another and finds where it ends.

    What may be the beginning of a stop string is held back until it is known. What is found doesn't depend on how the
    tokens come, several in one call or one by one. `finish_reason` is None until the text has ended.
    """

    def __init__(self, strings: Iterable[str], patterns: list[tuple[re.Pattern[str], int]], most: int | None) -> None:
        """`patterns`: each with the number of characters at the text's end in which it is looked for; `most`:
        characters."""
        self._strings = sorted(set(strings), key=len, reverse=True)
        self._patterns = patterns
        self._left = most
        self._kept = 1 + max((searched for _, searched in patterns), default=-1)
        self._text = ""  # the end of what has come, at least what is held
        self._held = 0  # characters at its end that are not shown yet
        self._firsts = frozenset(string[0] for string in self._strings)
        self._only_strings = not patterns and most is None
        self.finish_reason: FinishReason | None = "length" if most == 0 else None

    def feed(self, text: str) -> str:
        """What can be shown, now that a token's text has come."""
        if not text or self.finish_reason:
            return ""
        new = len(text) + self._held  # characters that are not shown yet
        before = len(self._text)
        self._text += text
        end = self._end(before)
        if end is not None:
            self.finish_reason, self._held = "stop", 0
            return self._limited(self._text[len(self._text) - new : end])
        self._held = self._may_begin()
        ready = self._text[len(self._text) - new : len(self._text) - self._held]
        self._text = self._text[max(0, len(self._text) - max(self._kept, self._held)) :]
        return self._limited(ready)

    def feed_all(self, texts: list[str]) -> list[str]:
        """What can be shown after each of several tokens' texts, as far as the text goes."""
        if self._only_strings and not (self._held or self.finish_reason) and self._firsts.isdisjoint("".join(texts)):
            return texts
        ready = []
        for text in texts:
            ready.append(self.feed(text))
            if self.finish_reason:
                break
        return ready

    def rest(self) -> str:
        """What was held back, at the end of a text that no more comes of."""
        held, self._held = self._held, 0
        return self._limited(self._text[len(self._text) - held :]) if held and not self.finish_reason else ""

    def _limited(self, text: str) -> str:
        if self._left is None:
            return text
        fits = len(text) <= self._left
        text = text[: self._left]
        self._left -= len(text)
        if self._left == 0 and not (fits and self.finish_reason):
            self.finish_reason = "length"
        return text

    def _end(self, before: int) -> int | None:
        """Where in the text that has come it ends, if it does; what is after `before` is new."""
        found = []
        for string in self._strings:
            at = self._text.find(string, max(0, before - len(string) + 1))
            if at >= 0:
                found.append((at + len(string), at))
        if found:
            return min(found)[1]
        for pattern, searched in self._patterns:
            match = pattern.search(self._text, max(0, len(self._text) - searched))
            if match:
                return match.end() if pattern is SENTENCE_END else len(self._text)
        return None

    def _may_begin(self) -> int:
        """How many characters at the end may be the beginning of a stop string."""
        text = self._text
        return max(
            (
                size
                for string in self._strings
                for size in range(min(len(string) - 1, len(text)), 0, -1)
                if text.endswith(string[:size])
            ),
            default=0,
        )


def _several(name: str, value: Any, kind: type, wanted: str) -> tuple[Any, ...]:
    """One of a kind, or several, as a tuple."""
    several = (value,) if isinstance(value, (str, int)) else value
    if not isinstance(several, (tuple, list)) or not all(
        isinstance(one, kind) and not isinstance(one, bool) and one != "" for one in several
    ):
        raise InputError(f"{name}: expected {wanted}, got {shown(value)}")
    return tuple(several)
