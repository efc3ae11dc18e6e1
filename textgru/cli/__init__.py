"""The command line: `textgru` and `python -m textgru`. Commands parse, call the library and print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from textgru.cli.compare import compare
from textgru.cli.corpora import corpora
from textgru.cli.eval import evaluate
from textgru.cli.info import info
from textgru.cli.plot import plot
from textgru.cli.quantize import quantize
from textgru.cli.sample import sample
from textgru.cli.train import train
from textgru.errors import TextgruError

INTERRUPTED = 130


class OneLineErrors(click.Group):
    """A group whose failures are one line on standard error and an exit code: 2 for input that can't be used, 1 for
    a failure at run time. `--debug` shows the traceback instead."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        arguments = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            result = super().main(args=arguments, prog_name=prog_name or "textgru", **extra)
            sys.exit(result if isinstance(result, int) else 0)
        except (KeyboardInterrupt, click.Abort):
            _fail("interrupted", INTERRUPTED)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(2)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "textgru"
            _fail(f"{error.format_message().rstrip('.')} (see {command} --help)", 2)
        except click.ClickException as error:
            _fail(error.format_message(), error.exit_code)
        except TextgruError as error:
            if "--debug" in arguments:
                raise
            _fail(str(error), error.exit_code)
        except MemoryError as error:
            if "--debug" in arguments:
                raise
            _fail(f"out of memory: {error}; try a smaller --batch-size, --seq-length or --hidden-size", 1)
        except OSError as error:
            if "--debug" in arguments:
                raise
            _fail(str(error), 1)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"textgru: error: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from textgru import __version__

        click.echo(f"textgru {__version__}")
        context.exit()


@click.group(
    "textgru", cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def main() -> None:
    """Train a GRU language model on a text file, on the CPU, and generate text with it.

    \b
      textgru train FILE --out RUN     train a model
      textgru sample RUN               write text with it
    """


for command in (train, sample, evaluate, info, plot, compare, quantize, corpora):
    main.add_command(command)
