"""Damaged runs and files, odd options and texts, kills: a few of the many that the benchmarks of these names make."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(("module", "cases"), [("damage", 150), ("fuzz", 600), ("damaged_files", 150)])
def test_every_command_answers_in_one_line_whatever_it_is_given(module, cases):
    result = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--cases", str(cases), "--seed", "7"],
        cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert f"{cases} cases, " in result.stdout
    assert " 0 failures" in result.stdout


@pytest.mark.parametrize(
    ("command", "every", "fault"), [("export c", 4, []), ("train", 30, []), ("import", 9, ["--fault", "ENOSPC"])]
)
def test_a_command_that_ends_before_a_write_leaves_what_was_there_or_the_new_one(command, every, fault):
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills_at_writes", "--only", command, "--every", str(every), *fault],
        cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert command in result.stdout
