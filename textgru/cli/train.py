"""textgru train"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from textgru.cli.options import GIVEN, read_config, threads_option
from textgru.cli.setting_options import (
    SectionedCommand,
    SectionedOption,
    StepsOrMinutes,
    given_settings,
    setting_options,
)
from textgru.cli.signals import asked, raised
from textgru.errors import StorageError, TextgruError
from textgru.model.config import NetworkConfig
from textgru.training.config import TrainingConfig
from textgru.training.run_settings import RunSettings

if TYPE_CHECKING:
    from textgru.distributed.ranks import Ranks
    from textgru.training.running import RunningTraining

INTERRUPTED = 130


@click.command(cls=SectionedCommand, short_help="Train a model on text files.")
@click.argument("files", nargs=-1, metavar="FILES...")
@threads_option
@setting_options(TrainingConfig, checkpoint_every=StepsOrMinutes())
@setting_options(RunSettings)
@click.option(
    "--resume",
    cls=SectionedOption,
    section="Run",
    metavar="RUN",
    help="Go on with the training in RUN that was stopped; nothing else is needed.",
)
@click.option(
    "--config",
    cls=SectionedOption,
    section="Run",
    is_eager=True,
    expose_value=False,
    callback=read_config,
    metavar="FILE",
    help='TOML file of options, e.g. hidden-size = 512, files = ["book.txt"]; the command line wins.',
)
@click.option(
    "--teacher",
    "teachers",
    cls=SectionedOption,
    section="Run",
    multiple=True,
    metavar="RUN",
    help="Also learn the predictions of the model in RUN; repeatable: the mean of several.",
)
@click.option("--dry-run", cls=SectionedOption, section="Run", is_flag=True, help="Print the plan and stop.")
@setting_options(NetworkConfig)
@click.pass_context
def train(
    context: click.Context,
    /,
    files: tuple[str, ...],
    resume: str | None,
    teachers: tuple[str, ...],
    dry_run: bool,
    **settings: Any,
) -> None:
    """Train a model on one or more UTF-8 text files. A directory stands for the .txt, .txt.gz and .txt.zst files in it
    and below, "-" for standard input; quoted patterns ("*.txt") are resolved.

    Training ends at the first of --epochs, --max-steps and --max-minutes. Without --epochs and --max-steps it ends
    after 20 passes over the text at the latest, or 60 with --max-minutes; with none of the three, after 20 million
    tokens if that is sooner.
    The weights with the lowest validation loss are kept. Ctrl-C stops the training after the step in progress; --resume
    goes on with it, as after a crash, from the last checkpoint, to the same result as without the interruption.
    """
    from textgru.distributed.launch import ranks

    together = ranks()
    if together.size == 1:
        run_training(context, together, files, resume, teachers, dry_run, settings)
        return
    from textgru.cli.over_ranks import follow, leading

    if together.rank:
        follow(together)
        return
    with leading(together):
        run_training(context, together, files, resume, teachers, dry_run, settings)


def run_training(
    context: click.Context,
    ranks: Ranks,
    files: tuple[str, ...],
    resume: str | None,
    teachers: tuple[str, ...],
    dry_run: bool,
    settings: dict[str, Any],
) -> None:
    """Trains, or goes on with a training, as the options say, and shows it."""
    from textgru.cli.display import training_display
    from textgru.training.run import TrainingRun

    sources = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
    given = {name for name in context.params if context.get_parameter_source(name) in sources}
    display = training_display(plain=ranks.size > 1)  # what mpiexec gives a rank looks like a terminal, always
    training: Callable[[], RunningTraining]
    if resume is not None:
        if others := sorted(given - {"resume", "dry_run"}):
            raise click.UsageError(
                f"--resume takes everything from the run; leave out {', '.join(_spelled(name) for name in others)}"
            )
        training = partial(_resume, resume, "threads" in (context.meta.get(GIVEN) or ()), ranks)
    else:
        if not files:
            raise click.UsageError("Missing argument 'FILES...'")
        steps = given_settings(TrainingConfig, settings)
        steps |= steps.pop("checkpoint_every", {})  # steps or minutes
        training = partial(
            TrainingRun, files, network=given_settings(NetworkConfig, settings),
            training=steps, on_progress=display.progress, ranks=ranks, teachers=teachers,
            **given_settings(RunSettings, settings),
        )  # fmt: skip
    stopped_by = []

    def stop(number: int) -> None:
        stopped_by.append(number)
        display.note("stopping after this step; Ctrl-C again leaves at once")
        run.stop()

    with raised(), display, training() as run:
        display.on_closed = run.stop
        display.plan(run.plan(), run.files)
        if dry_run:
            display.note("dry run: nothing was trained, no run was written")
            return
        try:
            with asked(stop):
                for event in run.events():
                    display.event(event)
        except TextgruError as error:
            raise type(error)(f"{error}{_kept(run, error)}") from error
        display.end(run.out)
    if display.closed:
        click.echo(f"textgru: standard output was closed: stopped; {_how_to_go_on(run)}", err=True)
        context.exit(1)
    if display.stopped:
        context.exit(128 + stopped_by[0] if stopped_by else INTERRUPTED)


def _kept(run: RunningTraining, error: TextgruError) -> str:
    """What is left of a training that failed, where the message doesn't say it."""
    from textgru.cli.display import as_argument

    if not run.in_place:
        return ""
    if run.published and not (run.can_go_on and isinstance(error, StorageError)):
        return "" if "are kept" in str(error) else f"; the weights that were saved last are kept in {run.out}"
    if not isinstance(error, StorageError):
        return ""
    if run.can_go_on:
        return f"; mend that, then go on with: textgru train --resume {as_argument(run.out)}"
    return "; nothing was saved: start again when that is mended"


def _how_to_go_on(run: RunningTraining) -> str:
    from textgru.cli.display import as_argument

    saved = f"saved in {run.out}"
    return f"{saved}; go on with: textgru train --resume {as_argument(run.out)}" if run.can_go_on else saved


def _spelled(name: str) -> str:
    """A parameter as it is typed."""
    return {"files": "FILES", "teachers": "--teacher"}.get(name) or f"--{name.replace('_', '-')}"


def _resume(run: str, threads_given: bool, ranks: Ranks) -> RunningTraining:
    """The training to go on with, on as many threads as before unless it was said how many."""
    from textgru.core import get_num_threads
    from textgru.training.resumed import ResumedRun

    share_set = ranks.size > 1  # those of this machine, among the ranks on it
    return ResumedRun(run, threads=get_num_threads() if threads_given or share_set else None, ranks=ranks)
