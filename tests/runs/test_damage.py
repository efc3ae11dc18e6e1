"""Damaged runs, odd options and texts: a few of the many that benchmarks.damage and benchmarks.fuzz make."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(("module", "cases"), [("damage", 150), ("fuzz", 600)])
def test_every_command_answers_in_one_line_whatever_it_is_given(module, cases):
    result = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--cases", str(cases), "--seed", "7"],
        cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert f"{cases} cases, " in result.stdout
    assert " 0 failures" in result.stdout
