"""What can be seen of a text at each of its characters, as numbers that a network's units may follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

OPENING, CLOSING = "([{", ")]}"
SENTENCE_ENDS = ".!?"


def features(text: str) -> dict[str, np.ndarray]:
    """Name -> (characters,) float32: the value of each feature at each character, that character included."""
    points = np.array(list(text), dtype=str) if text else np.zeros(0, "U1")
    found = {name: np.fromiter(map(is_so, text), np.float32, len(text)) for name, is_so in KINDS.items()}
    is_word = np.fromiter(map(str.isalnum, text), bool, len(text))
    new_line = points == "\n"
    found["place in the line"] = _since(new_line)
    found["place in the word"] = np.where(is_word, _since(~is_word), 0).astype(np.float32)
    found["start of a word"] = _starts(is_word)
    found["characters since a sentence's end"] = _since(np.isin(points, list(SENTENCE_ENDS)))
    found["characters since an empty line"] = _since(new_line & np.append(True, new_line[:-1])[: len(points)])
    found["inside quotes"] = _inside_quotes(text)
    found["depth of brackets"] = _depth(text)
    found["indentation"] = _indentation(text)
    found["inside a word in capitals"] = _in_capitals(text)
    return found


KINDS: dict[str, Callable[[str], bool]] = {
    "space or line end": str.isspace,
    "line end": lambda character: character == "\n",
    "capital": str.isupper,
    "digit": str.isdigit,
    "vowel": lambda character: character in "aeiouAEIOU",
    "punctuation": lambda character: not character.isalnum() and not character.isspace(),
}


def _since(event: np.ndarray) -> np.ndarray:
    """How many characters ago the event was, 0 where it is; before the first one, since the start."""
    places = np.arange(len(event))
    last = np.maximum.accumulate(np.where(event, places, -1)) if len(event) else places
    since: np.ndarray = (places - last).astype(np.float32)
    return since


def _starts(inside: np.ndarray) -> np.ndarray:
    before = np.append(False, inside[:-1])[: len(inside)]
    starts: np.ndarray = (inside & ~before).astype(np.float32)
    return starts


def _inside_quotes(text: str) -> np.ndarray:
    """1 between double quotes, straight or not; an empty line closes them."""
    values, inside, before = np.zeros(len(text), np.float32), False, ""
    for i, character in enumerate(text):
        if character in "“«„":
            inside = True
        elif character in "”»" or (character == before == "\n"):
            inside = False
        elif character == '"':
            inside = not inside
        values[i], before = inside, character
    return values


def _depth(text: str) -> np.ndarray:
    values, depth = np.zeros(len(text), np.float32), 0
    for i, character in enumerate(text):
        if character in OPENING:
            depth += 1
        elif character in CLOSING:
            depth = max(0, depth - 1)
        values[i] = depth
    return values


def _indentation(text: str) -> np.ndarray:
    """How many blanks or tabs the line begins with, at all of its characters."""
    lines = text.split("\n")
    wide = [len(line) - len(line.lstrip(" \t")) for line in lines]
    return np.repeat(np.array(wide, np.float32), [len(line) + 1 for line in lines])[: len(text)]


def _in_capitals(text: str) -> np.ndarray:
    """1 from the second letter of a word on, while all of it so far are capitals."""
    values, capitals = np.zeros(len(text), np.float32), 0
    for i, character in enumerate(text):
        if not character.isalpha():
            capitals = 0
        elif not character.isupper():
            capitals = -len(text)
        else:
            capitals += 1
        values[i] = capitals > 1
    return values
