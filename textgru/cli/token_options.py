"""--ban, --dry-sequence-breaker and --logit-bias: from what is typed to token ids."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from textgru.errors import InputError, shown
from textgru.text.tokenizer import Tokenizer


def tokens_with(option: str, tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """The ids of all tokens with a text of an option in them. Raises InputError for a text that is in none."""
    if not texts:
        return []
    of_token = [tokenizer.decode([i]) for i in range(tokenizer.vocab_size)]
    tokens: set[int] = set()
    for text in texts:
        found = {i for i, token in enumerate(of_token) if text and text in token}
        if not found:
            raise InputError(f"{option}: no token of the model has {shown(text)} in it")
        tokens |= found
    return sorted(tokens)


def biased_tokens(tokenizer: Tokenizer, given: Sequence[str]) -> dict[int, float]:
    """Token id -> what is added to its score. Raises InputError for what isn't TEXT=X, or no token."""
    bias: dict[int, float] = {}
    for one in given:
        text, equals, number = one.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not (text and equals and isfinite(value)):
            raise InputError(f"--logit-bias: expected TEXT=X or #N=X, X a number, got {shown(one)}")
        bias[_token(tokenizer, text)] = value
    return bias


def _token(tokenizer: Tokenizer, text: str) -> int:
    if text.startswith("#") and text[1:].isdecimal():
        token = int(text[1:])
        if token >= tokenizer.vocab_size:
            raise InputError(f"--logit-bias: expected a token from 0 to {tokenizer.vocab_size - 1}, got {shown(text)}")
        return token
    tokens = tokenizer.encode(text)
    if len(tokens) != 1 or tokens[0] == tokenizer.unk_id:
        raise InputError(f"--logit-bias: {shown(text)} is not one token of the model")
    return int(tokens[0])
