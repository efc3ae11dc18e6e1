"""What textgru score prints: tokens, lines, pages."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import click
import numpy as np

from textgru.analysis.line_scores import LineScore
from textgru.analysis.surprisal import Surprisals
from textgru.cli.scoring import line_scores, parts_of
from textgru.errors import InputError, escaped, percent, shown
from textgru.language_model import LanguageModel

LINES = 8192  # that are scored in one go
LINE_FIELDS = ("log_prob", "tokens", "characters", "bits_per_char", "perplexity", "unknown", "text")


class _Tally:
    """What is said at the end."""

    def __init__(self, model: LanguageModel) -> None:
        self.unknown_id = model.tokenizer.unk_id
        self.tokens = self.unknown = 0
        self.bits = 0.0

    def counted(self, parts: Iterable[Surprisals]) -> Iterator[Surprisals]:
        """The same parts. Raises InputError at the end of a text of fewer than two tokens."""
        for part in parts:
            self.bits += float(part.bits[1:].sum() if self.tokens == 0 else part.bits.sum())
            self.tokens += len(part)
            if self.unknown_id is not None:
                self.unknown += int(np.count_nonzero(part.tokens == self.unknown_id))
            yield part
        if self.tokens < 2:
            raise InputError("too little text; give at least two tokens")

    def warn(self) -> None:
        """Of unknown tokens, on standard error."""
        if self.unknown:
            share = percent(self.unknown / self.tokens)
            click.echo(f"textgru: warning: {share} of the text's tokens are unknown to the model", err=True)

    def sum_up(self) -> None:
        """The mean, on standard error."""
        click.echo(f"{self.bits / (self.tokens - 1):.4f} bits a token, {self.tokens:,} tokens", err=True)


def print_tokens(model: LanguageModel, blocks: Iterable[str], form: str, top: int, *, dynamic: bool = False) -> None:
    """Each token of a text, as "json", "csv" or "plain", which is in colours on a terminal."""
    with parts_of(model, blocks, top, dynamic=dynamic) as parts:
        _print_parts(model, parts, form, top)


def _print_parts(model: LanguageModel, parts: Iterable[Surprisals], form: str, top: int) -> None:
    tally = _Tally(model)
    parts = tally.counted(parts)
    if form == "plain" and not top:
        from textgru.cli.charts.heat import Heat

        heat = Heat()
        if heat.has_colours:
            for part in parts:
                heat.print(part)
            heat.print_legend()
            tally.sum_up()
            tally.warn()
            return
    write = {"json": _json_tokens, "csv": _csv_tokens, "plain": _plain_tokens}[form]
    if form == "csv":
        heading = ["id", "text", "bits"]
        for place in range(1, top + 1):
            heading += [f"likeliest_{place}", f"probability_{place}"]
        click.echo(_csv([heading]), nl=False)
    for part in parts:
        click.echo(write(part, _Names(model)), nl=False)
    if form == "plain":
        tally.sum_up()
    tally.warn()


def write_page(model: LanguageModel, blocks: Iterable[str], path: Path, top: int, *, dynamic: bool = False) -> None:
    """A web page of a text."""
    from textgru.analysis.surprisal_page import surprisal_page
    from textgru.atomic_files import atomic_file
    from textgru.paths import shown_path

    if path.is_dir():
        raise InputError(f"{shown(path)}: is a folder; name a file, such as page.html")
    tally = _Tally(model)
    name = model.run.path.name if model.run is not None else "model"
    with parts_of(model, blocks, top, dynamic=dynamic) as parts, atomic_file(path) as file:
        for piece in surprisal_page(f"textgru score {name}", tally.counted(parts), model.tokenizer):
            file.write(piece.encode("utf-8", "replace"))
    click.echo(f"saved in   {shown_path(path)}")
    tally.sum_up()
    tally.warn()


def print_lines(model: LanguageModel, blocks: Iterable[str], form: str) -> None:
    """Each line's score, as "json", "csv" or "plain"."""
    unknown = lines_with_unknown = 0
    if form == "csv":
        click.echo(_csv([LINE_FIELDS]), nl=False)
    write = {"json": _json_lines, "csv": _csv_lines, "plain": _plain_lines}[form]
    with line_scores(model) as score_lines:
        for lines in _lines(blocks):
            scores = score_lines(lines)
            click.echo(write(lines, scores), nl=False)
            unknown += sum(score.unknown for score in scores)
            lines_with_unknown += sum(score.unknown > 0 for score in scores)
    if unknown:
        number = f"{unknown:,} tokens in {lines_with_unknown:,} lines"
        click.echo(f"textgru: warning: {number} are unknown to the model", err=True)


def _lines(blocks: Iterable[str]) -> Iterator[list[str]]:
    """Lines without their ends, up to LINES at a time: those that are there with a block don't wait for the next."""
    begun: list[str] = []  # parts of a line whose end hasn't come
    for block in blocks:
        *whole, rest = block.split("\n")
        if whole:
            whole[0] = "".join([*begun, whole[0]])
            begun = []
        begun.append(rest)
        for first in range(0, len(whole), LINES):
            yield whole[first : first + LINES]
    if last := "".join(begun):
        yield [last]


class _Names:
    """What tokens stand for, by id."""

    def __init__(self, model: LanguageModel) -> None:
        self._decode: Callable[[list[int]], str] = model.tokenizer.decode
        self._names: dict[int, str] = {}

    def __getitem__(self, token: int) -> str:
        if token not in self._names:
            self._names[token] = self._decode([token])
        return self._names[token]


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _rows(part: Surprisals) -> Iterator[tuple[int, str, float, list[int], list[float]]]:
    likeliest, probabilities = part.likeliest.tolist(), part.probabilities.tolist()
    return zip(part.tokens.tolist(), part.texts, part.bits.tolist(), likeliest, probabilities, strict=True)


def _json_tokens(part: Surprisals, names: _Names) -> str:
    lines = []
    for token, text, bits, likeliest, probabilities in _rows(part):
        facts: dict[str, Any] = {"id": token, "text": text, "bits": _finite(bits)}
        if likeliest:
            facts["likeliest"] = [
                {"id": i, "text": names[i], "probability": p}
                for i, p in zip(likeliest, probabilities, strict=True)
                if isfinite(p)
            ]
        lines.append(json.dumps(facts, ensure_ascii=False, allow_nan=False) + "\n")
    return "".join(lines)


def _csv_tokens(part: Surprisals, names: _Names) -> str:
    rows = []
    for token, text, bits, likeliest, probabilities in _rows(part):
        row = [token, text, _finite(bits)]
        for i, p in zip(likeliest, probabilities, strict=True):
            row += [names[i], p] if isfinite(p) else [None, None]
        rows.append(row)
    return _csv(rows)


def _plain_tokens(part: Surprisals, names: _Names) -> str:
    lines = []
    for _, text, bits, likeliest, probabilities in _rows(part):
        others = "".join(
            f"  {100 * p:.1f}% '{escaped(names[i])}'"
            for i, p in zip(likeliest, probabilities, strict=True)
            if isfinite(p)
        )
        number = f"{bits:9.4f}" if isfinite(bits) else "        -"
        lines.append(f"{number}  '{escaped(text)}'{' ' * (10 - len(text)) if others else ''}{others}\n")
    return "".join(lines)


def _line_facts(line: str, score: LineScore) -> list[Any]:
    return [
        _finite(score.log_prob), score.tokens, score.characters, _finite(score.bits_per_char),
        _finite(score.perplexity), score.unknown, line,
    ]  # fmt: skip


def _json_lines(lines: list[str], scores: list[LineScore]) -> str:
    return "".join(
        json.dumps(dict(zip(LINE_FIELDS, _line_facts(*both), strict=True)), ensure_ascii=False, allow_nan=False) + "\n"
        for both in zip(lines, scores, strict=True)
    )


def _csv_lines(lines: list[str], scores: list[LineScore]) -> str:
    return _csv([_line_facts(*both) for both in zip(lines, scores, strict=True)])


def _plain_lines(lines: list[str], scores: list[LineScore]) -> str:
    return "".join(
        f"{score.log_prob:.4f}\t{score.bits_per_char:.4f}\t{score.perplexity:.4g}\t{line}\n"
        for line, score in zip(lines, scores, strict=True)
    )


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
