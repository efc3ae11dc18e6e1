"""Damaged runs, a few of the many that `python -m benchmarks.damage` makes."""

import os
import subprocess
import sys
from pathlib import Path


def test_damaged_runs_are_refused_in_one_line_by_every_command():
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.damage", "--cases", "150", "--seed", "7"],
        cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "150 cases, " in result.stdout
    assert " 0 failures" in result.stdout
