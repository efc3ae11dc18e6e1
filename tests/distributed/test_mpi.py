"""What MPIRanks has, without MPI: read from its source. What it does: tests/cli/test_over_ranks.py."""

import ast
import inspect
from pathlib import Path

import textgru.distributed
from textgru.distributed.ranks import Ranks


def test_all_that_ranks_do_together_is_done_over_mpi():
    """What is missing would be done by each alone, as the base class does it."""
    source = (Path(textgru.distributed.__file__).parent / "mpi.py").read_text(encoding="utf-8")
    [found] = [node for node in ast.parse(source).body if getattr(node, "name", None) == "MPIRanks"]
    methods = {node.name for node in found.body if isinstance(node, ast.FunctionDef)}
    assert {name for name, _ in inspect.getmembers(Ranks, inspect.isfunction)} - methods == {"share"}
