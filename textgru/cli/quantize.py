"""textgru quantize"""

from __future__ import annotations

import os
from pathlib import Path

import click

from textgru.errors import InputError


@click.command(short_help="Save a model with 8-bit weights, a quarter of the size.")
@click.argument("run", metavar="RUN")
@click.option("--out", "-o", metavar="RUN", help="Directory for the smaller run.  [default: RUN-int8]")
@click.option("--overwrite", is_flag=True, help="Replace the run that --out holds.")
def quantize(run: str, out: str | None, overwrite: bool) -> None:
    """Save the model in the directory RUN with weights as 8-bit integers.

    The new run samples and is evaluated in int8 unless --precision says otherwise. `textgru eval` on both, with a text
    that neither was trained on, shows what it costs: usually less than 0.001 nats.
    """
    from textgru.language_model import load
    from textgru.runs.layout import WEIGHTS

    model = load(run)
    target = Path(out) if out is not None else _beside(Path(run))
    if os.path.realpath(target) == os.path.realpath(run):
        raise InputError(f"{target}: is the run itself; choose another --out")
    model.save(target if out is None else out, precision="int8", overwrite=overwrite)
    before, after = (Path(folder, WEIGHTS).stat().st_size for folder in (run, target))
    click.echo(f"saved in   {target}; weights {after:,} bytes, before {before:,}")


def _beside(run: Path) -> Path:
    """RUN-int8; of `.` and `..` the folder's own name."""
    named = run if run.name not in ("", "..") else run.resolve()
    if not named.name:
        raise InputError(f"{run}: has no name to put -int8 behind; give --out")
    return named.with_name(f"{named.name}-int8")
