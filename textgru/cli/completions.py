"""What a shell offers when Tab is pressed, beyond what click knows by itself (commands, options, choices)."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

MOST_FOLDERS = 1000  # looked at: Tab must not wait


def complete_by_metavar(command: click.Command) -> None:
    """Gives a completion to each parameter whose help calls it RUN, FILE or DIR."""
    for parameter in command.params:
        kinds = (parameter.metavar or "").strip("[].").split("|")
        for word, complete in {"RUN": _runs, "FILE": _files, "FILES": _files, "DIR": _folders}.items():
            if word in kinds:
                parameter._custom_shell_complete = complete


def corpora(_context: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """The names of texts to train on."""
    from textgru.corpora import catalogue

    return [CompletionItem(entry.name, help=entry.title) for entry in catalogue() if entry.name.startswith(start)]


def _runs(_context: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Run directories whose path begins so, at most one folder further down; where there are none, any folder."""
    from textgru.runs.layout import is_abandoned, is_run

    before = start[: start.rfind("/") + 1]
    found = []
    looked_at = 0
    for outer in _inner(Path(before)):
        path = before + outer.name
        if not path.startswith(start):
            continue
        candidates = [(path, outer)]
        if not is_run(outer) and not is_abandoned(outer):
            candidates = [(f"{path}/{inner.name}", inner) for inner in _inner(outer)]
        for name, folder in candidates:
            looked_at += 1
            if looked_at <= MOST_FOLDERS and (is_run(folder) or is_abandoned(folder)):
                found.append(CompletionItem(name))
    return found or [CompletionItem(start, type="dir")]


def _inner(folder: Path) -> list[Path]:
    """The folders in a folder that aren't hidden, in the order of their names."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _files(_context: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    return [CompletionItem(start, type="file")]


def _folders(_context: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    return [CompletionItem(start, type="dir")]
