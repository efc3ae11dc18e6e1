"""The manual page that tools/man_page.py writes."""

import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from textgru.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def roff():
    script = ROOT / "tools" / "man_page.py"
    return subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, timeout=60, encoding="utf-8"
    ).stdout


def test_it_has_every_option_of_every_command(roff):
    context = click.Context(main, info_name="textgru")
    for name in COMMANDS:
        section = roff.partition(f".SH TEXTGRU {name.upper()}\n")[2].partition("\n.SH")[0].replace("\\-", "-")
        for parameter in main.get_command(context, name).get_params(context):
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in section, (name, parameter.name)
    assert ".B TEXTGRU_CACHE\n" in roff


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_groff_prints_it_as_it_is_written(roff):
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-Kutf8", "-P-c"], input=roff, capture_output=True, text=True, timeout=60,
        encoding="utf-8",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    shown = " ".join(done.stdout.split())
    assert r"\n, \t, \\" in shown
    assert "textgru train FILE --out RUN" in shown
