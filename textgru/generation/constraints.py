"""Texts that match a regular expression, a grammar or a JSON schema: which tokens may come next (llguidance)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from textgru.errors import InputError, TextgruError
from textgru.text.tokenizer import Tokenizer
from textgru.text.tokenizer_file import shortened
from textgru.typed import check_fields

MISSING = "llguidance isn't installed: pip install 'textgru[grammar]'"
ASCII_DIGITS = "d"  # what \d stands for
TOO_COMPLEX = ("LexerTooComplex", "ParserTooComplex")  # reasons why llguidance stops
TRIALS, TRIED, LONGEST_TRIED = 8, 200, 1.0  # random texts, tokens of each, seconds: can the vocabulary meet it?


@dataclass(frozen=True)
class Constraint:
    """What the new text has to match from its start to its end: one of these, or nothing.

    `regex`: a regular expression (Rust's: without look-around; `\\d` is 0 to 9). `grammar`: one in llguidance's Lark
    syntax, whose first rule is `start`. `json_schema`: the text of a JSON schema; the JSON has no white space, unless
    the schema asks for it ("x-guidance"). Raises InputError for others, or where llguidance isn't installed.
    """

    regex: str | None = None
    grammar: str | None = None
    json_schema: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        given = [name for name in ("regex", "grammar", "json_schema") if getattr(self, name) is not None]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)}: give one of them")
        if given and any("\ud800" <= c <= "\udfff" for c in getattr(self, given[0])):
            raise InputError(f"{self.name}: has characters that are none")
        if given and (problem := _llguidance().LLMatcher.validate_grammar(self._compiled())):
            raise InputError(f"{self.name}: {_one_line(problem)}")

    @property
    def name(self) -> str | None:
        """That of the constraint, where there is one."""
        return next((name for name, value in vars(self).items() if value is not None), None)

    def matchers(self, tokenizer: Tokenizer, banned: Sequence[int] = ()) -> Matchers | None:
        """What makes a Matcher for each text; None without a constraint. `banned` tokens can't be drawn.

        Raises InputError where the vocabulary can't meet it.
        """
        if self.name is None:
            return None
        table = tokenizer.token_bytes()
        if table is None:
            raise InputError(f"{self.name}: only for models with a char, byte or byte-level bpe tokenizer")
        table = [b"" if i in {*banned} else token for i, token in enumerate(table)]
        return Matchers(self.name, self._compiled(table), tokenizer, table)

    def _compiled(self, table: Sequence[bytes] | None = None) -> str:
        """As llguidance takes it. Of a regular expression only what the characters of the table can write."""
        library = _llguidance()
        if self.regex is not None:
            written = f"start: REGEX\nREGEX: /{library.regex_to_lark(self.regex, ASCII_DIGITS)}/"
            if table is not None and (characters := _only_characters(table)) is not None:
                written += f" & /[{characters}]*/"
            return str(library.LLMatcher.grammar_from_lark(written))
        if self.grammar is not None:
            return str(library.LLMatcher.grammar_from_lark(self.grammar))
        try:
            return str(
                library.LLMatcher.grammar_from_json_schema(self.json_schema, defaults={"whitespace_flexible": False})
            )
        except ValueError as error:
            raise InputError(f"json_schema: no JSON schema: {_one_line(str(error))}") from error


class DeadEndError(TextgruError):
    """A text that can neither go on nor end."""


class Matchers:
    """Makes a Matcher for each text of a tokenizer's model. `table`: the bytes of each token, b"" for those that can't
    be drawn."""

    def __init__(self, name: str, grammar: str, tokenizer: Tokenizer, table: Sequence[bytes]) -> None:
        library = _llguidance()
        wrapped = library.TokenizerWrapper(_Tokens(tokenizer, table))
        matcher = library.LLMatcher(library.LLTokenizer(wrapped), grammar, log_level=0)
        self._first = Matcher(name, matcher, len(table))
        if matcher.is_error() and (problem := library.LLMatcher.validate_grammar(grammar)):
            raise InputError(f"{name}: {_one_line(problem)}")
        rng, until = np.random.default_rng(0), perf_counter() + LONGEST_TRIED
        for _ in range(TRIALS):
            self._try(name, rng, table, until)

    def __call__(self) -> Matcher:
        """For a text that begins."""
        return self._first.copy()

    def _try(self, name: str, rng: np.random.Generator, table: Sequence[bytes], until: float) -> None:
        matcher, text = self(), b""
        try:
            for _ in range(TRIED):
                allowed = np.flatnonzero(matcher.allowed())
                if not len(allowed):
                    return
                token = int(rng.choice(allowed))
                matcher.read(token)
                text += table[token]
                if matcher.complete or perf_counter() > until:
                    return
        except DeadEndError as error:
            after = f" after {text.decode('utf-8', 'replace')[-40:]!a}" if text else ""
            raise InputError(f"{name}: the model has no token for what must come{after}") from error


class Matcher:
    """Follows one text. `accepts`: what there is matches, and may end; `complete`: it matches and can't go on;
    `left_out`: the token that was read last didn't go on with a match, and ends the text without being part of it."""

    def __init__(self, name: str, matcher: Any, tokens: int) -> None:
        self._name, self._matcher, self._tokens = name, matcher, tokens
        self._allowed: np.ndarray | None = None
        self.accepts, self.complete, self.left_out = bool(matcher.is_accepting()), False, False

    def copy(self) -> Matcher:
        """Another, for a text that is as far."""
        return Matcher(self._name, self._matcher.deep_copy(), self._tokens)

    def allowed(self) -> np.ndarray:
        """Which tokens (V,) bool may come next: none where the text can only end. Raises DeadEndError where it can't
        end either, TextgruError where the constraint is too complex."""
        if self._allowed is None:
            bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            self._allowed = np.unpackbits(bits, bitorder="little")[: self._tokens].astype(bool)
            if self._matcher.is_error() or not (self.accepts or self._allowed.any()):
                raise self._stuck()
        return self._allowed

    def read(self, token: int) -> None:
        """The text goes on with a token, or ends before one that isn't allowed. Raises as allowed."""
        if not self.allowed()[token]:
            self.left_out = True
            return
        self._allowed = None
        if not self._matcher.consume_token(token):
            raise self._stuck()
        self.accepts = bool(self._matcher.is_accepting())
        self.complete = self.accepts and bool(self._matcher.is_stopped())

    def _stuck(self) -> TextgruError:
        """Why it can't go on. Where one text must come next that the vocabulary can't write, llguidance allows a token
        that it then refuses."""
        if self._matcher.stop_reason() in TOO_COMPLEX:
            return TextgruError(f"{self._name}: too complex to be followed; make it simpler")
        return DeadEndError(f"{self._name}: the model has no token for what must come")


class _Tokens:
    """A tokenizer as llguidance asks for it, with a token more, which stands for the end of the text."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, table: Sequence[bytes]) -> None:
        self._tokenizer, self.eos_token_id, self.tokens = tokenizer, len(table), [*table, b""]
        self.special_token_ids = [i for i, token in enumerate(self.tokens) if not token]

    def __call__(self, text: str) -> list[int]:
        """The ids of a text; none where one of them can't be drawn."""
        ids: list[int] = self._tokenizer.encode(text).tolist()
        return ids if all(self.tokens[i] for i in ids) else []


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise InputError(MISSING) from error
    return llguidance


def _only_characters(table: Sequence[bytes]) -> str | None:
    """The characters of the table, as in a regular expression; None where it has all bytes, and so any character."""
    if len({token for token in table if len(token) == 1}) == 256:
        return None
    characters = {c for token in table for c in token.decode("utf-8", "ignore")}
    return "".join(f"\\x{{{ord(c):x}}}" for c in sorted(characters))


def _one_line(problem: str) -> str:
    """What llguidance says is wrong, without the part of the grammar that it repeats."""
    lines = [line.strip() for line in problem.splitlines() if line.strip(" ^")]
    said = next((line for line in lines if line.startswith("error: ")), lines[0] if lines else "it can't be read")
    return shortened(said.removeprefix("error: "))
