"""Options that several commands have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from textgru.cli.setting_options import SectionedOption, StepsOrMinutes
from textgru.errors import InputError
from textgru.paths import given_path
from textgru.typed import shown

Function = TypeVar("Function", bound=Callable[..., Any])


GIVEN = "textgru.given"  # in a context's meta: the options that are not passed on, but were given


def _set_threads(context: click.Context, parameter: click.Parameter, value: int | None) -> None:
    if value is not None:
        context.meta.setdefault(GIVEN, set()).add(parameter.name)
        from textgru.core import set_num_threads

        set_num_threads(value)


def threads_option(function: Function) -> Function:
    """--threads (-t): sets the core's thread count."""
    return click.option(
        "--threads", "-t", cls=SectionedOption, section="Machine", type=click.IntRange(1, 1024), metavar="N",
        expose_value=False, callback=_set_threads, help="CPU threads.",
        shown_default="all CPUs, or OMP_NUM_THREADS",
    )(function)  # fmt: skip


def precision_option(function: Function) -> Function:
    """--precision of the commands that use a trained model."""
    return click.option(
        "--precision", type=click.Choice(["fp32", "bf16", "int8"]),
        help="bf16, int8: weights as bfloat16 or 8-bit integers, faster.  [default: as the run is stored]",
    )(function)  # fmt: skip


def read_config(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    """The callback of --config: options of the command from a TOML file, as defaults. Raises InputError."""
    if value is None:
        return
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    path = given_path("config", value)
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is no file; name a TOML file")
        settings = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no TOML: it is not in UTF-8 (byte {error.start:,}); save it as UTF-8") from error
    except RecursionError as error:
        raise InputError(f"{path}: no TOML: nested too deeply") from error
    except ValueError as error:
        raise InputError(f"{path}: no TOML: {error}") from error
    spelled = {word.lstrip("-"): p.name for p in context.command.params for word in p.opts if p.name}  # lr as well
    settings = {spelled.get(name, name).replace("-", "_"): setting for name, setting in settings.items()}
    known = {parameter.name for parameter in context.command.params} - {"config", "help", "dry_run", "resume"}
    if unknown := sorted(settings.keys() - known):
        raise InputError(f"{path}: {', '.join(unknown)}: no option of textgru {context.command.name}")
    if tables := sorted(name for name, setting in settings.items() if isinstance(setting, dict)):
        raise InputError(f"{path}: {', '.join(tables)}: expected a value, got a table")
    if isinstance(settings.get("files"), str):
        settings["files"] = [settings["files"]]
    for parameter in context.command.params:
        if parameter.name in settings and (wanted := _wanted(parameter, settings[parameter.name])):
            raise InputError(f"{path}: {parameter.name}: expected {wanted}, got {shown(settings[parameter.name])}")
    context.default_map = {**(context.default_map or {}), **settings}


def _wanted(parameter: click.Parameter, value: Any) -> str | None:
    """What a value from a TOML file should be, if it is of another kind: click would make one of the other."""
    kind = parameter.type
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return None if isinstance(value, bool) else "true or false"
    if parameter.nargs == -1:
        return None if isinstance(value, list) and all(isinstance(one, str) for one in value) else "a list of names"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(kind, click.types.IntParamType):
        return None if number and isinstance(value, int) else "an integer"
    if isinstance(kind, click.types.FloatParamType):
        return None if number and (isinstance(value, float) or value.bit_length() < 1000) else "a number"
    if isinstance(kind, StepsOrMinutes):
        return None if isinstance(value, str) or (number and isinstance(value, int)) else kind.wanted
    return None if isinstance(value, str) else "a string"
