"""Values held against the types and ranges that a dataclass declares."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest

from textgru.errors import InputError
from textgru.typed import MismatchError, Range, check_fields, read_fields, read_json


@dataclass(frozen=True)
class Inner:
    name: str


@dataclass(frozen=True)
class Settings:
    count: Annotated[int, Range(1, 100)]
    share: Annotated[float, Range(0, 1, below=True)] = 0.5
    rate: Annotated[float | None, Range(0, above=True)] = None
    kind: Literal["one", "two"] = "one"
    on: bool = False
    names: list[str] | None = None
    inner: Inner | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("count", 0, "count: expected an integer from 1 to 100, got 0"),
        ("count", 2.9, "count: expected an integer from 1 to 100, got 2.9"),
        ("count", True, "count: expected an integer from 1 to 100, got true"),
        ("count", "3", "count: expected an integer from 1 to 100, got '3'"),
        ("count", None, "count: expected an integer from 1 to 100, got null"),
        ("count", 10**400, "got an integer of 1,329 bits"),
        ("share", 1, "share: expected a number from 0 to below 1, got 1"),
        ("share", float("nan"), "share: expected a number from 0 to below 1, got nan"),
        ("share", 10**400, "got an integer of 1,329 bits"),
        ("rate", 0, "rate: expected a number above 0, got 0"),
        ("rate", float("inf"), "rate: expected a number above 0, got inf"),
        ("kind", "three", "kind: expected one or two, got 'three'"),
        ("kind", ["one"], r"kind: expected one or two, got \['one'\]"),
        ("on", 1, "on: expected true or false, got 1"),
        ("names", "abc", "names: expected a list, got 'abc'"),
        ("names", ["a", None], r"names\[1\]: expected a string, got null"),
        ("inner", [], r"inner: expected an object, got \[\]"),
        ("inner", {}, r"inner\.name: is missing"),
        ("inner", {"name": 5}, r"inner\.name: expected a string, got 5"),
        ("inner", "x" * 500, r"expected an object, got 'x{59}\.\.\."),
    ],
)
def test_what_does_not_fit_is_named(field, value, message):
    with pytest.raises(MismatchError, match=f"^a.*{message}$"):
        read_fields(Settings, {"count": 3, field: value}, "at")
    with pytest.raises(InputError, match=message):
        Settings(**{"count": 3, field: value})


def test_what_fits_is_read():
    read = read_fields(Settings, {"count": 3, "share": 0, "rate": 2, "names": [], "inner": {"name": "x"}, "more": 1})
    assert read == Settings(3, 0.0, 2.0, names=[], inner=Inner("x"))
    assert isinstance(read.rate, float)
    assert type(Settings(np.int64(3), np.float32(0.25)).count) is int
    for found, message in (
        ([], "expected an object"),
        ({}, "count: is missing"),
        ({"count": 1, "x": 1}, "x: not known"),
    ):
        with pytest.raises(MismatchError, match=message):
            read_fields(Settings, found, unknown=False)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, "NaN", "[Infinity]", "-Infinity", "1e400", "[-1e999]", '"\\ud800"', '{"\\udfff": 1}',
     "{} {}", b"\xff\xfe", b'"\xff"', "1" * 5000, "\0"],
    ids=lambda text: str(text[:12]),
)  # fmt: skip
def test_what_is_no_json_is_refused(text):
    with pytest.raises(MismatchError, match="^no JSON: ") as caught:
        read_json(text)
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


def test_json_is_read():
    assert read_json('{"a": [1, 2.5, null, "\\ud83d\\ude00"]}') == {"a": [1, 2.5, None, "😀"]}
    assert read_json(b"\xef\xbb\xbf{}") == {}
