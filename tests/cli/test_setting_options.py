"""Options that are made from the dataclasses of settings."""

import inspect
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Literal

import click
import pytest
from click.testing import CliRunner

import textgru
from textgru.cli.options import read_config
from textgru.cli.setting_options import SectionedCommand, SectionedOption, given_settings, setting_options
from textgru.model.config import NetworkConfig
from textgru.training.config import TrainingConfig
from textgru.training.run_settings import RunSettings
from textgru.typed import Help, Range, settings_of


@dataclass(frozen=True)
class Kitchen:
    internal: int = 7
    dish: Annotated[Literal["soup", "stew"], Help("What to cook.", "Run")] = "soup"
    guests: Annotated[int, Range(1, 10**9), Help("People at the table.", "Run", spelled=("-g",))] = 2
    salt: Annotated[float | None, Range(0, 1, below=True), Help("Part of it.", "Learning", default="to taste")] = None
    washing: Annotated[bool, Help("Leave the dishes.", "Machine")] = True
    quietly: Annotated[bool, Help("Say nothing.", "Machine")] = False
    cook: Annotated[str | None, Help("Who.", "Machine", choices=("ann", "bob"))] = None


@click.command(cls=SectionedCommand)
@setting_options(Kitchen)
@click.option("--config", cls=SectionedOption, section="Text", callback=read_config, is_eager=True, expose_value=False)
def kitchen(**options):
    click.echo(repr(given_settings(Kitchen, options)))


def call(*arguments):
    return CliRunner().invoke(kitchen, [str(one) for one in arguments])


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ((), {}),
        (("--dish", "stew"), {"dish": "stew"}),
        (("-g", 3, "--salt", 0.5), {"guests": 3, "salt": 0.5}),
        (("--guests", 2), {"guests": 2}),
        (("--no-washing", "--quietly"), {"washing": False, "quietly": True}),
        (("--cook", "bob"), {"cook": "bob"}),
    ],
    ids=str,
)
def test_what_is_given_reaches_the_field(arguments, given):
    assert call(*arguments).output == f"{given}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dish", "cake"), "'cake' is not one of 'soup', 'stew'"),
        (("--guests", 0), "0 is not in the range x>=1"),
        (("--guests", "two"), "'two' is not a valid integer"),
        (("--salt", 1), "1.0 is not in the range 0<=x<1"),
        (("--cook", "eve"), "'eve' is not one of 'ann', 'bob'"),
        (("--internal", 3), "No such option"),
        (("--washing",), "No such option"),
    ],
    ids=str,
)
def test_what_can_not_be_is_refused(arguments, message):
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_help_shows_all_that_the_field_says():
    lines = [" ".join(line.split()) for line in call("--help").output.splitlines() if line]
    assert lines[1:] == [
        "Run:",
        "--dish [soup|stew] What to cook. [default: soup]",
        "-g, --guests N People at the table. [default: 2; x>=1]",
        "Text:",
        "--config TEXT",
        "Learning:",
        "--salt X Part of it. [default: to taste; 0<=x<1]",
        "Machine:",
        "--no-washing Leave the dishes.",
        "--quietly Say nothing.",
        "--cook [ann|bob] Who.",
        "Other options:",
        "--help Show this message and exit.",
    ]


def test_a_toml_file_takes_the_same_names(tmp_path):
    file = tmp_path / "kitchen.toml"
    file.write_text('dish = "stew"\nno-washing = true\nguests = 5')
    assert call("--config", file, "--guests", 4).output == "{'dish': 'stew', 'guests': 4, 'washing': False}\n"
    file.write_text("guests = 2.5")
    assert "guests: expected an integer, got 2.5" in str(call("--config", file).exception)


def test_python_takes_what_the_command_takes():
    """textgru.train has every setting as an argument, for editors and help()."""
    arguments = inspect.signature(textgru.train).parameters
    for kind in (RunSettings, NetworkConfig, TrainingConfig):
        for field in fields(kind):
            if field.default is not MISSING:
                wanted = field.default if kind is RunSettings else None
                assert arguments[field.name].default == wanted, f"textgru.train: {field.name}"
    known = {field.name for kind in (RunSettings, NetworkConfig, TrainingConfig) for field in fields(kind)}
    assert set(arguments) - known == {"files", "on_progress", "on_event"}


def test_no_option_is_meant_by_two():
    names = [setting.name for kind in (RunSettings, NetworkConfig, TrainingConfig) for setting in settings_of(kind)]
    assert len(names) == len(set(names))
