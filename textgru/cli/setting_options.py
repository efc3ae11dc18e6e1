"""Options of a command that are made from the dataclasses of settings, and shown under their headings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, get_args

import click

from textgru.errors import InputError
from textgru.typed import Section, Setting, settings_of

Function = TypeVar("Function", bound=Callable[..., Any])

# A limit this large only keeps nonsense out: --help doesn't show it, and the dataclass refuses what is beyond.
LARGE = 1000


class SectionedOption(click.Option):
    """An option with the heading that it stands under, and what to show as its default."""

    def __init__(self, *arguments: Any, section: Section, shown_default: str | None = None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.section = section
        self.shown_default = shown_default

    def get_help_extra(self, ctx: click.Context) -> Any:
        extra = super().get_help_extra(ctx)
        return extra if self.shown_default is None else {**extra, "default": self.shown_default}


class SectionedCommand(click.Command):
    """A command whose help shows its options under headings. Those of no section come last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        other = "Other options"
        members: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (*get_args(Section), other)}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
                members[getattr(parameter, "section", other)].append(record)
        for heading, records in members.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class StepsOrMinutes(click.ParamType):  # type: ignore[type-arg]  # click 8.2 has no arguments
    """--checkpoint-every: N steps or Nm minutes, as the settings that it stands for."""

    name = "steps or minutes"
    wanted = "steps (500) or minutes (5m)"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        every = str(value)
        try:
            return (
                {"checkpoint_minutes": float(every[:-1])} if every.endswith("m") else {"checkpoint_every": int(every)}
            )
        except ValueError as error:
            raise InputError(f"--checkpoint-every: expected {self.wanted}, got {every!r}") from error


def setting_options(kind: type, **types: click.ParamType[Any]) -> Callable[[Function], Function]:
    """An option for each setting of a dataclass, in their order. `types`: those of settings that are spelled otherwise
    than their field. What isn't given is None. A flag that is on by default is turned off: --no-NAME."""

    def decorate(function: Function) -> Function:
        for setting in reversed(settings_of(kind)):
            function = _option(setting, types.get(setting.name))(function)
        return function

    return decorate


def given_settings(kind: type, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a dataclass that were given, by the name of their field, from what the options are."""
    given = {}
    for setting in settings_of(kind):
        value = parameters[_parameter(setting)]
        if value is not None:
            given[setting.name] = not value if setting.default is True else value
    return given


def _parameter(setting: Setting) -> str:
    return f"no_{setting.name}" if setting.default is True else setting.name


def _option(setting: Setting, kind: click.ParamType[Any] | None) -> Callable[[Function], Function]:
    told, name = setting.help, _parameter(setting)
    shown_default = told.default
    if shown_default is None and setting.default is not None and setting.kind is not bool:
        shown_default = str(setting.default)
    form: dict[str, Any] = {"type": kind or _type(setting), "metavar": told.metavar or _metavar(setting)}
    if setting.kind is bool:
        form = {"is_flag": True, "default": None}
    return click.option(
        f"--{name.replace('_', '-')}", *told.spelled, name, cls=SectionedOption, section=told.section,
        shown_default=shown_default, help=told.text, **form,
    )  # fmt: skip


def _type(setting: Setting) -> click.ParamType[Any]:
    if setting.choices:
        return click.Choice(setting.choices)
    if setting.kind is str:
        return click.STRING
    limits = setting.range
    low, high = (bound if abs(bound) < LARGE else None for bound in (limits.low, limits.high))
    if low is None and high is None:
        return click.INT if setting.kind is int else click.FLOAT
    range_of: Any = click.IntRange if setting.kind is int else click.FloatRange
    return cast("click.ParamType[Any]", range_of(low, high, min_open=limits.above, max_open=limits.below))


def _metavar(setting: Setting) -> str | None:
    """N for an integer, X for a number."""
    return {int: "N", float: "X"}.get(setting.kind)
