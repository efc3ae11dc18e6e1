"""textgru export"""

from __future__ import annotations

from pathlib import Path

import click

from textgru.errors import InputError

ENDINGS = {"html": ".html", "onnx": ".onnx", "torch": "-torch", "c": "-c"}  # of what is made beside the run
FORMATS = {
    "html": "one file that writes in any browser",
    "onnx": "a graph for ONNX Runtime",
    "torch": "a folder with a state dict and the module that runs it",
    "c": "a folder with a header, a weights file and a program",
}
MISSING = "onnx isn't installed: pip install 'textgru[onnx]'"


@click.command(short_help="Save a model for a browser, ONNX Runtime, PyTorch or C.")
@click.argument("run", metavar="RUN")
@click.option(
    "--to",
    "kind",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="; ".join(f"{name}: {told}" for name, told in FORMATS.items()) + ".",
)
@click.option("--out", "-o", metavar="PATH", help="Where to save it.  [default: beside the run]")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@click.option("--precision", type=click.Choice(["fp32", "int8"]), help="onnx: int8 is a quarter of the size.")
@click.option("--title", metavar="TEXT", help="html: what the page is called.")
@click.option("--about", metavar="TEXT", help="html: a few words about the model.")
@click.option("--licence", "--license", metavar="TEXT", help="html: under which licence it may be used.")
def export(
    run: str,
    kind: str,
    out: str | None,
    overwrite: bool,
    precision: str | None,
    title: str | None,
    about: str | None,
    licence: str | None,
) -> None:
    """Save the model in the directory RUN in a form that others can use without textgru."""
    titles = {
        name: text for name, text in (("title", title), ("about", about), ("licence", licence)) if text is not None
    }
    if titles and kind != "html":
        raise click.UsageError(f"--{next(iter(titles))}: only for --to html")
    if precision is not None and kind != "onnx":
        raise click.UsageError("--precision: only for --to onnx")
    from textgru.exchange.files import write_file, write_folder
    from textgru.language_model import load
    from textgru.paths import given_path, shown_path

    model = load(run)
    name = Path(run).name if Path(run).name not in ("", "..") else Path(run).resolve().name
    target = given_path("out", out) if out is not None else Path(run).resolve().with_name(name + ENDINGS[kind])
    if out is None and not Path(run).is_absolute():
        target = Path(run).with_name(target.name) if Path(run).name not in ("", "..") else target
    shown = shown_path(target)
    if kind == "html":
        from textgru.exchange.html import Titles, page_with_model

        content = page_with_model(model, name, Titles(**titles))
        write_file(target, content, overwrite=overwrite)
        click.echo(f"saved in   {shown}; {len(content):,} bytes; open it in a browser")
    elif kind == "onnx":
        try:
            from textgru.exchange.onnx_graph import onnx_model
        except ImportError as error:
            if (error.name or "").partition(".")[0] == "onnx":
                raise InputError(MISSING) from error
            raise
        content = onnx_model(model, precision=precision or ("int8" if model.precision == "int8" else "fp32"))
        write_file(target, content, overwrite=overwrite)
        click.echo(f"saved in   {shown}; {len(content):,} bytes")
    elif kind == "torch":
        from textgru.exchange.pytorch import pytorch_files

        write_folder(target, pytorch_files(model), overwrite=overwrite)
        click.echo(f"saved in   {shown}; write with: python {shown}/model.py")
    else:
        from textgru.exchange.c_code import c_files

        write_folder(target, c_files(model), overwrite=overwrite)
        click.echo(f"saved in   {shown}; write with: cd {shown} && cc -std=c99 -O3 -o sample sample.c -lm && ./sample")
