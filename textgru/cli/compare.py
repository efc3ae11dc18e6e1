"""textgru compare"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from textgru.cli.json_output import print_json

if TYPE_CHECKING:
    from textgru.runs.run import Run

UNKNOWN = "-"
LEFT = ("run", "network", "tokenizer", "text")  # columns of words
NO_MATTER = {"checkpoint_every", "checkpoint_minutes"}  # settings that change nothing in the weights
GAP, WIDEST = 2, 40  # columns of a terminal: between two columns of a table, and the widest of them
SAME_PART = 0.02  # held-out parts of a text that differ by less are the same, by different tokenizers


@click.command(short_help="Lay trained models side by side.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--json", "as_json", is_flag=True, help="A JSON array of objects.")
def compare(runs: tuple[str, ...], as_json: bool) -> None:
    """Lay the models in some runs side by side, the best first: by bits a character, which can be compared between
    tokenizers; nats a token can't. Of the settings, those that differ are shown.
    """
    from textgru.runs.metrics import run_names
    from textgru.runs.run import Run

    found = [_facts(name, Run.read(run)) for name, run in zip(run_names(runs), runs, strict=True)]
    found.sort(key=lambda facts: float("inf") if facts["bits_per_char"] is None else facts["bits_per_char"])
    if as_json:
        print_json(found, indent=2)
    else:
        rows = [_row(facts) for facts in found]
        for row, more in zip(rows, _differing(found), strict=True):
            row.update(more)
        texts = {row["text"] for row in rows}
        if len(texts) == 1:
            for row in rows:
                del row["text"]
        print_table(rows)
        if len(texts) == 1:
            click.echo(f"text: {texts.pop()}")
    if warning := _warning(found):
        click.echo(f"textgru: warning: {warning}", err=True)


def _facts(name: str, run: Run) -> dict[str, Any]:
    """What --json prints of a run. Scores are those of the weights that were kept."""
    from textgru.runs.metrics import training_seconds

    scores, network, corpus, training = run.scores, run.network, run.record.corpus, run.record.training or {}
    seconds = training_seconds(run)
    return {
        "name": name,
        "path": str(run.path),
        "num_layers": network.num_layers,
        "hidden_size": network.hidden_size,
        "embedding_size": network.embedding_size,
        "tokenizer": run.tokenizer.kind,
        "vocab_size": network.vocab_size,
        "parameters": network.parameter_count(),
        "precision": run.precision,
        "val_loss": scores.get("val_loss"),
        "bits_per_char": scores.get("bits_per_char"),
        "step": scores.get("step"),
        "tokens_seen": scores.get("tokens_seen"),
        "minutes": None if seconds is None else seconds / 60,
        "files": corpus.files if corpus else [],
        "characters": corpus.characters if corpus else None,
        "train_tokens": corpus.train_tokens if corpus else None,
        "validation_tokens": corpus.validation_tokens if corpus else None,
        "settings": {
            "dropout": network.dropout,
            "tie_weights": network.tie_weights,
            **training,
            **({"init_from": run.record.init_from} if run.record.init_from is not None else {}),
        },
    }


def _row(facts: dict[str, Any]) -> dict[str, str]:
    """The columns that every table has."""
    network = f"{facts['num_layers']} x {facts['hidden_size']}, emb {facts['embedding_size']}"
    return {
        "run": facts["name"],
        "network": network + (", int8" if facts["precision"] == "int8" else ""),
        "tokenizer": f"{facts['tokenizer']} {facts['vocab_size']:,}",
        "parameters": _short(facts["parameters"]),
        "nats/token": _number(facts["val_loss"], "{:.4f}"),
        "bits/char": _number(facts["bits_per_char"], "{:.3f}"),
        "step": _number(facts["step"], "{:,}"),
        "tokens": _short(facts["tokens_seen"]),
        "minutes": _number(facts["minutes"], "{:.2f}"),
        "text": _text(facts),
    }


def _text(facts: dict[str, Any]) -> str:
    files = facts["files"]
    names = ", ".join(Path(file).name for file in files[:2]) + (f" and {len(files) - 2} more" if files[2:] else "")
    return f"{names or 'unknown'} ({_short(facts['characters'])} characters)"


def _differing(found: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """For each run, the settings that are not the same in all."""
    names = dict.fromkeys(name for facts in found for name in facts["settings"] if name not in NO_MATTER)
    names = {name: None for name in names if len({str(facts["settings"].get(name)) for facts in found}) > 1}
    return [{name: _setting(facts["settings"].get(name)) for name in names} for facts in found]


def _warning(found: Sequence[dict[str, Any]]) -> str | None:
    """What to know before comparing these losses, if anything."""
    found = [facts for facts in found if facts["val_loss"] is not None]
    if len(found) < 2:
        return None
    texts = {(tuple(Path(file).name for file in facts["files"]), facts["characters"]) for facts in found}
    if len(texts) > 1:
        return "the runs were validated on different texts: don't compare their losses (use textgru eval)"
    held_out = [_held_out(facts) for facts in found]
    tokenizers = {(facts["tokenizer"], facts["vocab_size"]) for facts in found}
    if max(held_out) - min(held_out) > SAME_PART * max(held_out) or (
        len(tokenizers) == 1 and len({facts["validation_tokens"] for facts in found}) > 1
    ):
        return "the runs were validated on different parts of the text: don't compare their losses (use textgru eval)"
    if len(tokenizers) > 1:
        return "the runs have different tokenizers; compare bits a character, not nats a token"
    return None


def _held_out(facts: dict[str, Any]) -> float:
    """The part of the text that the run was validated on."""
    held_out, trained = facts["validation_tokens"] or 0, facts["train_tokens"] or 0
    return float(held_out / max(held_out + trained, 1))


def print_table(rows: Sequence[dict[str, str]]) -> None:
    """On a terminal, tables that are no wider than it, the run's name in each; plain columns elsewhere."""
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    if not sys.stdout.isatty():
        for row in ({name: name for name in rows[0]}, *rows):
            cells = (row[name].ljust(widths[name]) if name in LEFT else row[name].rjust(widths[name]) for name in row)
            click.echo("  ".join(cells).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for number, names in enumerate(_parts(widths, console.width)):
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
        for name in names:
            words = name in LEFT
            table.add_column(
                Text(name), justify="left" if words else "right", overflow="fold", no_wrap=not words,
                max_width=WIDEST, style="bold" if name in ("run", "bits/char") else "",
            )  # fmt: skip
        for row in rows:
            table.add_row(*(Text(row[name]) for name in names))
        if number:
            console.print()
        console.print(table)


def _parts(widths: dict[str, int], room: int) -> list[list[str]]:
    """The columns, in as few parts as fit into the room, the first column in front of each."""
    first, *others = widths
    parts, used = [[first]], min(widths[first], WIDEST)
    for name in others:
        width = GAP + min(widths[name], WIDEST)
        if used + width > room and len(parts[-1]) > 1:
            parts.append([first])
            used = min(widths[first], WIDEST)
        parts[-1].append(name)
        used += width
    return parts


def _short(number: float | None) -> str:
    """A count in three digits or so."""
    if number is None:
        return UNKNOWN
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number}"


def _number(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else form.format(value)


def _setting(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
