"""What README and docs show runs: every block of Python, every option of every command."""

import ast
import asyncio
import inspect
import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest

import textgru
from tests.texts import sentences
from textgru import corpora
from textgru.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LONG = {"max_minutes=2": "max_steps=20, overwrite=True"}  # what takes minutes is done in a moment instead
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
def test_the_blocks_of_python_run(page, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr(corpora, "fetch", lambda *_, **__: None)  # the one thing that needs a network
    found = names(page)
    if "model" in page.read_text(encoding="utf-8"):
        found["model"] = textgru.load("runs/demo")
    for code in BLOCK.findall(page.read_text(encoding="utf-8")):
        for shown, instead in LONG.items():
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
    assert {"train", "sample", "score", "eval", "corpora"} <= found


def test_every_page_is_in_the_site():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs')}" in nav
