"""textgru distill"""

from __future__ import annotations

from typing import Any

import click

from textgru.cli.options import threads_option
from textgru.cli.setting_options import SectionedCommand, SectionedOption, StepsOrMinutes, setting_options
from textgru.cli.train import run_training
from textgru.distributed.ranks import Ranks
from textgru.model.config import NetworkConfig
from textgru.training.config import TrainingConfig
from textgru.training.run_settings import RunSettings


@click.command(cls=SectionedCommand, short_help="Train one model from the predictions of others.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--text", "files", cls=SectionedOption, section="Text", multiple=True, metavar="FILE", shown_default="RUN's own",
    help="Train on this text; repeatable.",
)  # fmt: skip
@threads_option
@setting_options(TrainingConfig, checkpoint_every=StepsOrMinutes())
@setting_options(RunSettings)
@click.option("--dry-run", cls=SectionedOption, section="Run", is_flag=True, help="Print the plan and stop.")
@setting_options(NetworkConfig)
@click.pass_context
def distill(
    context: click.Context, /, runs: tuple[str, ...], files: tuple[str, ...], dry_run: bool, **settings: Any
) -> None:
    """Train one model on a text and on what the models in the directories RUN... predict of it, on average: a smaller
    one that is nearly as good, or one as large that is better. Their tokenizers have to be the same.

    It is `textgru train` with --teacher for each of them; `textgru train --resume` goes on with it.
    """
    from textgru.analysis.novelty_source import training_files
    from textgru.runs.run import Run

    names = list(files) or [str(path) for path in training_files(Run.read(runs[0]))]
    run_training(context, Ranks(), tuple(names), None, runs, dry_run, settings)
