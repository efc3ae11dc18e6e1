"""Writes the manual page textgru.1 from the commands' own help and docs/reference/environment.md.

python tools/man_page.py > textgru.1 && man ./textgru.1
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from textgru import __version__
from textgru.cli import COMMANDS, main

ENVIRONMENT = Path(__file__).parents[1] / "docs" / "reference" / "environment.md"


def page() -> str:
    """The page, in the man macros of roff."""
    outer = click.Context(main, info_name="textgru")
    lines = [
        f'.TH TEXTGRU 1 "" "textgru {__version__}" "User Commands"', ".SH NAME",
        r"textgru \- train a language model on a text file, and let it write", ".SH SYNOPSIS", ".B textgru",
        r".I COMMAND", r"[\fIOPTIONS\fR] [\fIARGUMENTS\fR]", ".SH DESCRIPTION", *paragraphs(main.help or ""),
    ]  # fmt: skip
    for name in COMMANDS:
        lines += command(outer, name, main)
    lines.append(".SH ENVIRONMENT")
    for row in re.findall(r"^\| (`.*)\|$", ENVIRONMENT.read_text(encoding="utf-8"), re.M):
        names, what, default = (plain(cell) for cell in row.split(" | "))
        lines += [".TP", rf".B {names}", f"{what} (default: {default})"]
    lines += [".SH EXIT STATUS", "0; 2 for input that can't be used, 1 for a failure at run time, 130 after Ctrl-C."]
    return "\n".join(lines) + "\n"


def command(outer: click.Context, name: str, group: click.Group) -> Iterator[str]:
    """A section for a command, and those of the commands in it."""
    found = group.get_command(outer, name)
    assert found is not None
    context = click.Context(found, info_name=name, parent=outer)
    yield f".SH {escaped(context.command_path).upper()}"
    yield rf"\fB{escaped(context.command_path)}\fR {escaped(' '.join(found.collect_usage_pieces(context)))}"
    yield ".PP"
    yield from paragraphs(found.help or "")
    for parameter in found.get_params(context):
        if (record := parameter.get_help_record(context)) and record[1]:
            yield from (".TP", rf".B {escaped(record[0])}", escaped(record[1]))
    if isinstance(found, click.Group):
        for inner in found.list_commands(context):
            yield from command(context, inner, found)


def paragraphs(text: str) -> Iterator[str]:
    """The help of a command; lines after \\b stay as they are."""
    for part in text.split("\n\n"):
        kept = "\b" in part
        lines = [
            escaped(line if kept else line.strip()) for line in part.replace("\b", "").strip("\n").splitlines() if line
        ]
        yield from ([".nf", *lines, ".fi"] if kept else lines)
        yield ".PP"


def escaped(text: str) -> str:
    """Text as roff prints it unchanged; a line of it never begins a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text[:1] in (".", "'") else text


def plain(cell: str) -> str:
    """A cell of a table without its marks: code, links."""
    return escaped(re.sub(r"\[(.*?)\]\(.*?\)", r"\1", cell).replace("`", "").strip())


if __name__ == "__main__":
    print(page(), end="")
