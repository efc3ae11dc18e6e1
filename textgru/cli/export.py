"""textgru export"""

from __future__ import annotations

from pathlib import Path

import click

from textgru.cli.setting_options import SectionedCommand

FORMATS = ("html",)


@click.command(cls=SectionedCommand, short_help="Save a model for other programs: a page with the model inside.")
@click.argument("run", metavar="RUN")
@click.option(
    "--to", "kind", type=click.Choice(FORMATS), required=True, help="html: one file that writes in any browser."
)
@click.option("--out", "-o", metavar="FILE", help="Where to save it.  [default: RUN.html]")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@click.option("--title", default="textgru", show_default=True, help="html: what the page is called.")
@click.option("--about", default="", help="html: a few words about the model.")
@click.option("--licence", "--license", default="", help="html: under which licence it may be used.")
def export(run: str, kind: str, out: str | None, overwrite: bool, **more: str) -> None:
    """Save the model in the directory RUN in a form that others can use without textgru."""
    from textgru.atomic_files import write_atomically
    from textgru.errors import InputError, shown
    from textgru.exchange.html import Titles, page_with_model
    from textgru.language_model import load
    from textgru.paths import given_path

    name = Path(run).name if Path(run).name not in ("", "..") else Path(run).resolve().name
    target = given_path("out", out) if out is not None else Path(run).with_name(f"{name}.html")
    if target.is_dir():
        raise InputError(f"{shown(target)}: is a folder; name a file")
    if target.exists() and not overwrite:
        raise InputError(f"{shown(target)}: exists; choose another --out, or replace it with --overwrite")
    content = page_with_model(load(run), name, Titles(**more))
    write_atomically(target, content)
    click.echo(f"saved in   {shown(target)}; {len(content):,} bytes; open it in a browser")
