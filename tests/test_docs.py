"""What README and docs show runs: every block of Python, every option of every command."""

import ast
import asyncio
import dataclasses
import inspect
import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import textgru
from tests.server.conftest import Serving
from tests.texts import sentences
from textgru import corpora
from textgru.cli import COMMANDS, main
from textgru.generation.state import State
from textgru.model.config import NetworkConfig
from textgru.runs.records import ConfigRecord, CorpusRecord, Scores
from textgru.training.events import EndEvent, EvaluationEvent, SampleEvent, StepEvent

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LONG = {"max_minutes=2": "max_steps=20, overwrite=True"}  # what takes minutes is done in a moment instead
SERVER = "http://127.0.0.1:8000"
NEEDS = ["torch"]  # what a page may show without our depending on it

WITH_PYTHON = [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with the runs and texts that the pages speak of."""
    folder = tmp_path_factory.mktemp("docs")
    text = sentences(6000) + "The ferry was late again. To be, or not to bee! Once upon a time Emma's Xqz agian\n"
    (folder / "text.txt").write_text(text)
    run = folder / "runs" / "demo"
    settings = {
        "embedding_size": 64,
        "hidden_size": 16,
        "num_layers": 1,
        "max_steps": 30,
        "batch_size": 8,
        "cache": False,
    }
    textgru.train(folder / "text.txt", run, **settings)
    for name in ("tales", "sh", "shakespeare", "book"):
        shutil.copytree(run, folder / "runs" / name)
    shutil.copytree(ROOT / "corpora", folder / "corpora")
    return folder


def names(page):
    """What a page's blocks use without saying what it is."""
    rng = np.random.default_rng(0)
    found = {
        "text": sentences(300),
        "lines": ["Emma", "Tam"],
        "prompts": ["The ", "Tam "],
        "textgru": textgru,
        "np": np,
    }
    found["x"] = rng.standard_normal((7, 2, 3)).astype(np.float32)
    found["dy"] = np.ones((7, 2, 64), np.float32)
    return found


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_python_run(page, place, monkeypatch, capsys, request):
    monkeypatch.chdir(place)
    monkeypatch.setattr(corpora, "fetch", lambda *_, **__: None)  # the one thing that needs a network
    found = names(page)
    if "model" in page.read_text(encoding="utf-8"):
        found["model"] = textgru.load("runs/demo")
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    if any("runs/tales.onnx" in code for code in blocks):
        assert CliRunner().invoke(main, ["export", "runs/tales", "--to", "onnx", "--overwrite"]).exit_code == 0
    replaced = dict(LONG)
    if any(SERVER in code for code in blocks):
        serving = Serving(place, place / "runs" / "tales")
        request.addfinalizer(serving.end)
        replaced[SERVER] = serving.url
    for code in blocks:
        for shown, instead in replaced.items():
            code = code.replace(shown, instead)
        for module in NEEDS:
            if re.search(rf"^import {module}\b", code, re.M):
                pytest.importorskip(module)
        if "hidden_size=512, num_layers=1" in code:  # PyTorch's half: our run is smaller
            code = code.replace("hidden_size=512", "hidden_size=16")
        compiled = compile(code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(compiled, found)
        if inspect.iscoroutine(result):
            asyncio.run(result)


def test_the_options_of_a_file_are_taken(place, monkeypatch):
    """The block of TOML in docs/training.md."""
    monkeypatch.chdir(place)
    shutil.copy("text.txt", "book.txt")
    (found,) = re.findall(
        r"^```toml\n(.*?)^```", (ROOT / "docs" / "training.md").read_text(encoding="utf-8"), re.S | re.M
    )
    Path("book.toml").write_text(found, encoding="utf-8")
    planned = CliRunner().invoke(main, ["train", "--config", "book.toml", "--overwrite", "--dry-run"])
    assert planned.exit_code == 0, planned.output
    assert "512" in planned.output  # units of the preset medium


def test_every_kind_of_block_is_accounted_for():
    """Python, commands and TOML are run; what other programs read is only shown, and so is what has no language."""
    for page in PAGES:
        kinds = set(re.findall(r"^```(\w+)$", page.read_text(encoding="utf-8"), re.M))
        assert kinds <= {"python", "bash", "console", "toml", "nginx", "ini", "dockerfile"}, page


def commands(text):
    """The commands in bash and console blocks, and in code within lines: words, by shlex."""
    text = text.replace("\\|", "|").replace("\\\n", " ")
    for code in re.findall(r"`(textgru [^`]+)`", text) + re.findall(r"^(?:\$ )?(.*\btextgru [^`]+?)$", text, re.M):
        for part in re.split(r"\s(?:&&|\||;|>)\s", code):
            part = re.sub(r"^\s*\$ ", "", part).strip()
            if part.startswith("textgru "):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:
                    continue
                if len(words) > 1 and words[1] in COMMANDS:
                    yield words


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_options_of_the_commands_exist(page):
    context = click.Context(main, info_name="textgru", **main.context_settings)
    for words in commands(page.read_text(encoding="utf-8")):
        command = main.get_command(context, words[1])
        if isinstance(command, click.Group) and len(words) > 2 and not words[2].startswith("-"):
            assert words[2] in command.commands, words
            command = command.get_command(context, words[2])
        known = {
            option
            for parameter in command.get_params(context)
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        options = {word.partition("=")[0] for word in words[2:] if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
        assert options <= known, (words, options - known)


def test_the_commands_of_the_readme_are_found():
    found = {words[1] for words in commands((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert {"train", "sample", "score", "eval", "serve", "export"} <= found


def test_every_command_is_at_a_glance():
    found = {words[1] for words in commands((ROOT / "docs" / "at_a_glance.md").read_text(encoding="utf-8"))}
    assert found >= set(COMMANDS)


def test_every_environment_variable_is_on_its_page():
    page = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    found = set()
    for path in [ROOT / "setup.py", *(ROOT / "textgru").rglob("*")]:
        if path.suffix in (".py", ".pyx", ".pxd", ".c", ".h"):
            code = path.read_text(encoding="utf-8")
            found |= set(re.findall(r"""(?:environ(?:\.get\(|\[)|getenv\()\s*["'](\w+)""", code))
            named = re.findall(r"environ(?:\.get\(|\[)([A-Z]+)\b", code)  # by a constant of the module
            found |= {value for name in named for value in constants(path)[name]}
    assert {"TEXTGRU_CACHE", "TEXTGRU_CACHE_LIMIT", "TEXTGRU_API_KEY", "TEXTGRU_SIMD", "OMP_NUM_THREADS"} <= found
    assert found <= set(re.findall(r"`(\w+)`", page))


def constants(path):
    """Name -> strings that a module assigns to it at its top."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                names, values = getattr(target, "elts", [target]), getattr(node.value, "elts", [node.value])
                if isinstance(target, ast.Tuple) and len(names) == len(values):
                    found |= {
                        n.id: [v.value] for n, v in zip(names, values, strict=True) if isinstance(v, ast.Constant)
                    }
                elif isinstance(node.value, ast.Constant):
                    found[target.id] = [node.value.value]
    return found


def test_every_field_of_a_run_and_a_state_is_in_the_contract():
    page = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    named = {part for code in re.findall(r"`([^`]+)`", page) for part in code.split(".")}
    kinds = [
        ConfigRecord,
        CorpusRecord,
        Scores,
        NetworkConfig,
        StepEvent,
        EvaluationEvent,
        EndEvent,
        SampleEvent,
        State,
    ]
    for kind in kinds:
        missing = {field.name for field in dataclasses.fields(kind)} - named - {"session"}  # a state's second part
        assert not missing, kind


def test_every_page_is_in_the_site():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs')}" in nav
