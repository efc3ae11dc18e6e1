"""Where a new run goes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from textgru.errors import InputError
from textgru.paths import given_path
from textgru.runs.layout import is_abandoned
from textgru.runs.writer import NewRun
from textgru.text.files import STANDARD_INPUT


def new_run(out: str | Path | None, files: Sequence[str | Path], overwrite: bool) -> NewRun:
    """The run in `out`; or where none was given, in the first default place that no other training has.

    Places: runs/NAME after the first file, runs/NAME-2 and so on. Raises InputError.
    """
    if out is not None:
        return NewRun(given_path("out", out), overwrite=overwrite)
    for place in _free_outs(files):
        try:
            return NewRun(place)
        except InputError:
            if not place.exists():
                raise
    raise AssertionError  # there is no end to the numbers


def _free_outs(files: Sequence[str | Path]) -> Iterator[Path]:
    first = str(files[0]) if files else ""
    packed = first.removesuffix(".gz").removesuffix(".zst")
    name = "stdin" if first == STANDARD_INPUT else re.sub(r"[*?\[\]]", "", Path(packed).stem) or "text"
    for number in itertools.count(1):
        out = Path("runs", name if number == 1 else f"{name}-{number}")
        if not out.exists() or is_abandoned(out):
            yield out
