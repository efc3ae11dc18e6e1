"""Who may import whom: downward only, without circles, also where a function imports."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "textgru"

# The rooms from the ground up; a room may import those of lower floors.
FLOORS = [
    {"errors"}, {"paths", "typed", "atomic_files"}, {"core"}, {"sklearn", "distributed"}, {"text", "model"}, {"runs"},
    {"generation"}, {"analysis"}, {"language_model"}, {"ensemble_model"}, {"training", "exchange"}, {"server"},
    {"corpora"}, {"cli"}, {"entry"}, {"__main__"},
]  # fmt: skip
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
GROUND = {"errors", "paths", "typed", "atomic_files"}

# The core's own rooms from the ground up; "" stands for the modules beside them, which are its public face, of which
# step is on top: the deprecated name of something in _stepping.
CORE_FLOORS = {"_support": 0, "_products": 1, "_sequence": 2, "": 3, "_stepping": 4, "step": 5}


def modules():
    return {
        ".".join(("textgru", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
        for ending in ("py", "pyx")
        for path in ROOT.rglob(f"*.{ending}")
    }


def imported_by_compiled(path, known):
    """The same of a .pyx file and the .pxd beside it, also what it takes at C level."""
    for file in (path, path.with_suffix(".pxd")):
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        for name, names in re.findall(r"^from (textgru[\w.]*) c?import (\(.*?\)|.*?)$", text, re.DOTALL | re.MULTILINE):
            parts = {f"{name}.{part.strip()}" for part in names.strip("() \n").split(",")}
            yield from (parts & known) or ({name} & known)


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


MODULES = modules()
GRAPH = {
    name: {*(imported_by_compiled(path, MODULES.keys()) if path.suffix == ".pyx" else imported(path, MODULES))} - {name}
    for name, path in MODULES.items()
}


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


def core_room(module):
    first = module.split(".")[2] if module.count(".") >= 2 else ""
    return first if first in CORE_FLOORS else ""


IN_CORE = sorted(name for name in GRAPH if name.startswith("textgru.core."))


@pytest.mark.parametrize("module", IN_CORE)
def test_a_room_of_the_core_imports_only_what_is_below_it(module):
    for other in GRAPH[module]:
        assert other.startswith("textgru.core."), f"{module} imports {other}"
        here, there = core_room(module), core_room(other)
        assert here == there or CORE_FLOORS[there] < CORE_FLOORS[here], f"{module} imports {other}"


@pytest.mark.parametrize("module", sorted(name for name in GRAPH if not name.startswith("textgru.core")))
def test_what_is_unchecked_in_the_core_is_nobodys_business(module):
    for other in GRAPH[module]:
        assert not other.startswith("textgru.core._"), f"{module} imports {other}"


def test_there_is_no_circle():
    try:
        TopologicalSorter({name: others - {"textgru"} for name, others in GRAPH.items()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_package_is_installed():
    text = (ROOT.parent / "pyproject.toml").read_text(encoding="utf-8")
    for path in ROOT.rglob("__init__.py"):
        assert f'"{".".join(("textgru", *path.parent.relative_to(ROOT).parts))}"' in text
