"""A hook of MkDocs: writes what `textgru COMMAND --help` says into the page of the commands."""

from typing import Any

import click

from textgru.cli import COMMANDS, main

MARK = "<!-- the help of every command -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    if MARK not in markdown:
        return markdown
    outer = click.Context(main, info_name="textgru", max_content_width=100, terminal_width=100)
    parts = []
    for name in COMMANDS:
        parts += _help(outer, name, main)
    return markdown.replace(MARK, "\n".join(parts))


def _help(outer: click.Context, name: str, group: click.Group) -> list[str]:
    command = group.get_command(outer, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=outer, max_content_width=100, terminal_width=100)
    lines = [f"## {context.command_path}", "", "```text", command.get_help(context), "```", ""]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            lines += _help(context, inner, command)
    return lines
