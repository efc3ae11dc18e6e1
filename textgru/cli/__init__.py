"""The command line: `textgru` and `python -m textgru`. Commands parse, call the library and print."""

from __future__ import annotations

import contextlib
import errno
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from textgru.cli.signals import Terminated
from textgru.cli.streams import lead_nowhere, prepare_streams
from textgru.distributed.launch import several
from textgru.errors import TextgruError
from textgru.paths import shown_path

# Each stands in a module of its name; imported when it is called, so that none waits for what only others need.
COMMANDS = {"compare": "compare", "corpora": "corpora", "distill": "distill", "embed": "embed",
            "eval": "evaluate", "export": "export",
            "import": "import_model", "info": "info", "inspect": "inspect", "learn": "learn", "novelty": "novelty",
            "plot": "plot", "quantize": "quantize", "sample": "sample", "score": "score", "serve": "serve",
            "train": "train"}  # fmt: skip

MODULES = {"import": "import_model"}  # a word that no module can be called

INTERRUPTED = 130
LONGEST = 1000  # characters of a message
OF_A_STREAM = (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EBADF)  # what fails in writing


class OneLineErrors(click.Group):
    """A group whose failures are one line on standard error and an exit code: 2 for input that can't be used, 1 for
    a failure at run time. `--debug` shows the traceback instead."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.commands.update({name: click.Command(name) for name in COMMANDS})  # names to list and to suggest

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = MODULES.get(cmd_name, cmd_name)
        found = getattr(importlib.import_module(f"textgru.cli.{module}"), COMMANDS[cmd_name])
        assert isinstance(found, click.Command)
        if ctx.resilient_parsing:  # a shell asks for completions
            from textgru.cli.completions import complete_by_metavar

            complete_by_metavar(found)
        return found

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        arguments = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        prepare_streams()
        try:
            with _led(arguments):
                result = super().main(args=arguments, prog_name=prog_name or "textgru", **extra)
                sys.stdout.flush()  # a pipe that is closed, or a full disk, is noticed here at the latest
                sys.exit(result if isinstance(result, int) else 0)
        except (KeyboardInterrupt, click.Abort):
            _fail("interrupted", INTERRUPTED)
        except Terminated as error:
            _fail(f"ended by {error.name}", error.exit_code)
        except BrokenPipeError:  # nobody reads any more: `| head`
            lead_nowhere()
            sys.exit(1)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(2)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "textgru"
            _fail(f"{error.format_message().rstrip('.')} (see {command} --help)", 2)
        except click.ClickException as error:
            _fail(error.format_message(), error.exit_code)
        except (TextgruError, MemoryError, OSError) as error:
            if "--debug" in arguments:
                raise
            _fail(_explained(error), error.exit_code if isinstance(error, TextgruError) else 1)


def _led(arguments: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """Around a command that mpiexec may have started several times."""
    if not several():
        return contextlib.nullcontext()
    from textgru.cli.over_ranks import led

    return led(arguments)


def _explained(error: TextgruError | MemoryError | OSError) -> str:
    """What went wrong, in words."""
    if isinstance(error, MemoryError):
        needed = f": {error}" if str(error) else ""
        return f"out of memory{needed}; try a smaller --batch-size, --seq-length, --hidden-size or --num-layers"
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:
            return f"standard output: {error.strerror}" if error.errno in OF_A_STREAM else error.strerror
        return f"{shown_path(error.filename)}: {error.strerror}"
    return str(error) or type(error).__name__


def _fail(message: str, code: int) -> NoReturn:
    line = " ".join(message.split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    with contextlib.suppress(OSError):
        click.echo(f"textgru: error: {line}", err=True)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.exit(code)
    lead_nowhere()  # what is left in the buffer can't be written: don't try again at the exit
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
