"""textgru corpora: texts to train on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from textgru.cli.completions import corpora as names

if TYPE_CHECKING:
    from textgru.corpora import Corpus


@click.group("corpora")
def corpora() -> None:
    """Texts to train on: one that comes with textgru, and public ones to download."""


@corpora.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as JSON.")
def list_corpora(as_json: bool) -> None:
    """List the texts, the included one first."""
    from textgru.corpora import catalogue

    entries = catalogue()
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2))
    elif sys.stdout.isatty():
        _print_table(entries)
    else:
        rows = [(entry.name, _size(entry), entry.language, entry.licence, entry.title) for entry in entries]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@corpora.command("fetch")
@click.argument("name", shell_complete=names)
@click.option("--out", "directory", default=".", metavar="DIR", help="The folder to put it in.  [default: this one]")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def fetch_corpus(name: str, directory: str, overwrite: bool) -> None:
    """Download the text NAME, check it and print where it is."""
    from rich.progress import DownloadColumn, TransferSpeedColumn

    from textgru.cli.progress import progress_bar
    from textgru.corpora import fetch

    with progress_bar(name, DownloadColumn(), TransferSpeedColumn()) as progress:
        file = fetch(name, directory, overwrite=overwrite, progress=progress)
    click.echo(file)


@corpora.command("path")
@click.argument("name", shell_complete=names)
def show_path(name: str) -> None:
    """Print where the included text NAME is installed."""
    from textgru.corpora import path

    click.echo(path(name))


def _size(entry: Corpus) -> str:
    """The size of the download, for people."""
    if entry.included:
        return "included"
    if entry.size is None:
        return "unknown"
    return f"{entry.size / 1e6:.1f} MB"


def _print_table(entries: list[Corpus]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("Name", style="bold", no_wrap=True)
    table.add_column("Text")
    table.add_column("Download", justify="right", no_wrap=True)
    table.add_column("Lang.", no_wrap=True)
    table.add_column("Licence", no_wrap=True)
    for entry in entries:
        table.add_row(entry.name, entry.title, _size(entry), entry.language, entry.licence)
    console = Console(highlight=False)
    console.print(table)
    console.print("\ntextgru corpora fetch NAME downloads one", style="dim")
