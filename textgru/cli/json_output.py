"""JSON on standard output."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

import click


def print_json(facts: Any, *, indent: int | None = None) -> None:
    """Prints facts as JSON: see as_json."""
    click.echo(as_json(facts, indent=indent))


def as_json(facts: Any, *, indent: int | None = None) -> str:
    """Facts as JSON, which has null where Python has NaN and infinity."""
    return json.dumps(_finite(facts), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
