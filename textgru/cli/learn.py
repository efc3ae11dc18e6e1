"""textgru learn"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from textgru.cli.options import threads_option
from textgru.cli.setting_options import SectionedCommand, given_settings, setting_options
from textgru.training.learning import LearnSettings


@click.command(short_help="Teach a trained model another text, in seconds.", cls=SectionedCommand)
@click.argument("run", metavar="RUN")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@click.option("--out", "-o", metavar="RUN", help="Directory for the new run.  [default: RUN-learned]")
@click.option("--overwrite", is_flag=True, help="Replace the run that --out holds; it may be RUN itself.")
@click.option(
    "--keep", multiple=True, metavar="FILE", help="Text that it must not forget, in place of what it writes itself."
)
@click.option("--allow-unknown", is_flag=True, help="Also where many of the text's tokens are unknown to the model.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the files.")
@setting_options(LearnSettings)
@threads_option
def learn(
    run: str, files: tuple[str, ...], out: str | None, overwrite: bool, keep: tuple[str, ...], allow_unknown: bool,
    encoding: str, **options: Any,
) -> None:  # fmt: skip
    """Teach the model in the directory RUN the text in FILES, and save it as another run.

    It reads the text beside text that it wrote itself before, so that it doesn't forget what it knew; the loss of some
    of that is the guard: it stops before that has grown by more than --forget.
    """
    from textgru.cli.progress import progress_bar
    from textgru.paths import shown_path
    from textgru.training.learning_run import learn_run

    settings = LearnSettings(**given_settings(LearnSettings, options))
    target = (
        out if out is not None else f"{os.path.realpath(run) if Path(run).name in ('', '..') else Path(run)}-learned"
    )
    with progress_bar("learning") as on_progress:
        _, found = learn_run(
            run, files, target, settings, keep=keep, encoding=encoding, allow_unknown=allow_unknown,
            overwrite=overwrite, on_progress=on_progress,
        )  # fmt: skip
    where = "on its last tenth" if found.held_out else "all of it"
    click.echo(f"new text   {found.before:.4f} nats a token before, {found.after:.4f} now ({where})")
    click.echo(f"forgotten  {round(found.forgotten, 4) + 0.0:.4f} nats a token, of at most {settings.forget:g}")
    if found.steps < found.planned:
        click.echo(f"stopped    after {found.steps:,} of {found.planned:,} steps: more would have been forgotten")
    click.echo(f"saved in   {shown_path(target)}; write with: textgru sample {shown_path(target)}")
