"""Who may import whom: downward only, without circles, also where a function imports."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "textgru"

# The rooms from the ground up; a room may import those of lower floors.
FLOORS = [
    {"errors"}, {"paths", "typed", "atomic_files"}, {"core"}, {"text", "model"}, {"runs"}, {"generation"}, {"analysis"},
    {"language_model"}, {"training"}, {"corpora"}, {"cli"}, {"entry"}, {"__main__"},
]  # fmt: skip
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
GROUND = {"errors", "paths", "typed", "atomic_files"}


def modules():
    return {
        ".".join(("textgru", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in ROOT.rglob("*.py")
    }


COMPILED = {f"textgru.core.{path.stem}" for path in (ROOT / "core").glob("*.pyx")}


def imported(path, known):
    """The modules of textgru that a file imports when it is run or called, not only for types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name.startswith("textgru"):
                yield name


GRAPH = {name: {*imported(path, {*modules(), *COMPILED})} - {name} for name, path in modules().items()}


def room(module):
    return module.split(".")[1] if "." in module else "textgru"


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_a_room_imports_only_what_is_below_it(module):
    here = room(module)
    for other in GRAPH[module]:
        there = room(other)
        if here == "textgru" or there in (here, "textgru"):  # the package itself: its version and its lazy names
            continue
        assert here != "core", f"{module} imports {other}: the core stands alone"
        assert FLOOR[there] < FLOOR[here] or (here in GROUND and there in GROUND), f"{module} imports {other}"


def test_there_is_no_circle():
    try:
        TopologicalSorter({name: others - {"textgru"} for name, others in GRAPH.items()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_package_is_installed():
    text = (ROOT.parent / "pyproject.toml").read_text(encoding="utf-8")
    for path in ROOT.rglob("__init__.py"):
        assert f'"{".".join(("textgru", *path.parent.relative_to(ROOT).parts))}"' in text
