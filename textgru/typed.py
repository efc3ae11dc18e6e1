"""Values of the types and ranges that a dataclass declares: settings that are checked, and JSON that is read.

@dataclass(frozen=True)
class Settings:
    batch_size: Annotated[int, Range(1, 1 << 20)] = 32

    def __post_init__(self) -> None:
        check_fields(self)

A field with a Help is a setting that a command has an option for: Annotated[int, Range(1), Help("Sequences a step.",
"Learning")].
"""

from __future__ import annotations

import json
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from math import inf, isfinite
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from textgru.errors import InputError

T = TypeVar("T")
# The headings of a command's help, in their order.
Section = Literal[
    "Run", "Text", "How long", "Network", "Learning", "While it runs", "Prompt", "Sampling", "Repetition",
    "Where it ends", "What it matches", "Beam search", "Many short items", "Output", "Address",
    "Access", "Limits", "Machine",
]  # fmt: skip
UNIONS = (Union, types.UnionType)
SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`; `above` and `below` leave out the bound itself."""

    low: float = -inf
    high: float = inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        high_enough = value > self.low if self.above else value >= self.low
        return high_enough and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        low = f" {'above' if self.above else 'from'} {_short(self.low)}" if self.low > -inf else ""
        to = ", up to" if self.above else " to"
        high = f"{to} {'below ' if self.below else ''}{_short(self.high)}" if self.high < inf else ""
        return low + (high or ("" if self.above or not low else " up"))


@dataclass(frozen=True)
class Help:
    """How a setting stands on the command line: a sentence, under a heading.

    `default` says what happens where it isn't given, if that is not the field's own default. `spelled`: further names
    of the option; `choices`: the words that it takes, where its type doesn't list them.
    """

    text: str
    section: Section
    default: str | None = None
    metavar: str | None = None
    spelled: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """A field that has a Help. `kind` is int, float, bool or str; `choices` are the only words, if there are any."""

    name: str
    kind: type
    choices: tuple[str, ...]
    range: Range
    default: Any
    help: Help


class MismatchError(ValueError):
    """A value that is not what was declared; the message names it."""


def check_fields(settings: Any) -> None:
    """Checks every field of a dataclass, and makes Python's own numbers of NumPy's. Raises InputError."""
    kind: type = type(settings)
    for name, (hint, _) in _declared(kind).items():
        value = getattr(settings, name)
        try:
            checked = _checked(name, hint, value)
        except MismatchError as error:
            raise InputError(str(error)) from error
        if checked is not value:
            object.__setattr__(settings, name, checked)


@cache
def settings_of(kind: type) -> tuple[Setting, ...]:
    """The fields of a dataclass that have a Help, in their order."""
    found = []
    for field in fields(kind):
        hint, *extras = _parts(_declared(kind)[field.name][0])
        told = next((extra for extra in extras if isinstance(extra, Help)), None)
        if told is None:
            continue
        limits = next((extra for extra in extras if isinstance(extra, Range)), Range())
        if get_origin(hint) in UNIONS:
            hint = _not_none(hint)
        choices = get_args(hint) if get_origin(hint) is Literal else told.choices
        found.append(
            Setting(field.name, hint if hint in (int, float, bool) else str, choices, limits, field.default, told)
        )
    return tuple(found)


def read_fields(kind: type[T], found: object, name: str = "", *, unknown: bool = True) -> T:
    """The dataclass whose fields a JSON object holds; those that it lacks take their defaults.

    `unknown`: whether it may have other fields too, which are left out. Raises MismatchError that names the first field
    that is missing or of another type or range, below `name`.
    """
    if not isinstance(found, dict):
        raise MismatchError(f"{name or 'it'}: expected an object, got {shown(found)}")
    at = f"{name}." if name else ""
    declared = _declared(cast(type, kind))
    if not unknown and (odd := sorted(found.keys() - declared.keys())):
        raise MismatchError(f"{at}{odd[0]}: not known")
    values = {}
    for field, (hint, needed) in declared.items():
        if field in found:
            values[field] = _checked(f"{at}{field}", hint, found[field])
        elif needed:
            raise MismatchError(f"{at}{field}: is missing")
    try:
        return kind(**values)
    except InputError as error:
        raise MismatchError(f"{at}{error}") from error


def read_json(text: bytes | str) -> Any:
    """What a JSON document says. Raises MismatchError unless it is one: no NaN, no infinity, no half of a surrogate
    pair, and nothing nested deeper than Python reads."""
    try:
        value = json.loads(text, parse_constant=_not_json, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).split("\n")[0]
        raise MismatchError(f"no JSON: {reason[:200]}") from error
    return value


def shown(value: object) -> str:
    """A value as a message shows it, not too long."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"an integer of {value.bit_length():,} bits"
    text = json.dumps(value) if isinstance(value, (bool, type(None))) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


@cache
def _declared(kind: type) -> dict[str, tuple[Any, bool]]:
    """Name -> the type of a dataclass's field, and whether it has no default."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.name: (hints[field.name], field.default is MISSING and field.default_factory is MISSING)
        for field in fields(kind)
        if field.init
    }


def _checked(name: str, hint: Any, value: Any, limits: Range | None = None) -> Any:
    """The value as the type that was declared; raises MismatchError if it isn't of it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        limits = next((extra for extra in arguments[1:] if isinstance(extra, Range)), None)
        return _checked(name, arguments[0], value, limits)
    if origin in UNIONS:
        return None if value is None else _checked(name, _not_none(hint), value, limits)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise MismatchError(f"{name}: expected {_listed(arguments)}, got {shown(value)}")
        return value
    if origin is list:
        if not isinstance(value, list):
            raise MismatchError(f"{name}: expected a list, got {shown(value)}")
        return [_checked(f"{name}[{i}]", arguments[0], one) for i, one in enumerate(value)]
    if is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else read_fields(hint, value, name)
    if hint is int or hint is float:
        return _number(name, hint, value, limits or Range())
    kind = origin or hint  # dict[str, Any] is a dict
    if not isinstance(value, kind):
        words = {bool: "true or false", str: "a string", dict: "an object"}
        raise MismatchError(f"{name}: expected {words[kind]}, got {shown(value)}")
    return value


def _parts(hint: Any) -> tuple[Any, ...]:
    """What stands in Annotated[...]: the type, and what else is said."""
    return get_args(hint) if get_origin(hint) is Annotated else (hint,)


def _not_none(hint: Any) -> Any:
    """X of X | None."""
    return next(kind for kind in get_args(hint) if kind is not type(None))


def _number(name: str, kind: type, value: Any, limits: Range) -> Any:
    wanted = "an integer" if kind is int else "a number"
    fits = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    try:
        number = kind(value) if fits else None
    except (OverflowError, ValueError):
        number = None
    if number is None or (kind is float and not isfinite(number)) or number not in limits:
        raise MismatchError(f"{name}: expected {wanted}{limits}, got {shown(value)}")
    return number


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _short(number: float) -> str:
    """A bound as people write it."""
    if number == int(number) and abs(number) < 1e16:
        return f"{int(number):,}"
    return f"{number:g}"


def _not_json(word: str) -> Any:
    raise ValueError(f"{word} is no number in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError(f"{digits[:SHOWN]} is too large a number")
    return number
