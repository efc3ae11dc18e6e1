"""The commands that README and docs show run, in a shell, page by page, on tiny models."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import textgru
from tests.texts import sentences

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(?:bash|console)?\n(.*?)^```", re.S | re.M)

# What isn't run here, by how it begins, and why.
NOT_RUN = {
    "pip install": "installs",
    "python3 -m venv": "installs",
    ". ": "that environment",
    "pytest": "are these tests",
    "textgru train --resume": "needs a training that was stopped: tests/training",
    "textgru serve": "goes on until it is ended: tests/server",
    "curl": "needs that server: tests/server",
    "textgru corpora fetch": "needs a network: tests/corpora",
}
INSTEAD = {"--max-minutes 2": "--max-steps 20 --overwrite", "--max-minutes 10": "--max-steps 20 --overwrite"}


def shown(page):
    """The commands of a page in their order, each with the first line below it."""
    for code in BLOCK.findall(page.read_text(encoding="utf-8")):
        lines = code.replace("\\\n", " ").splitlines()
        console = any(line.startswith("$ ") for line in lines)
        for line, below in zip(lines, [*lines[1:], ""], strict=True):
            if console and line.startswith("$ "):
                yield line[2:], below
            elif not console and re.match(r"textgru |pip |python3? |pytest", line):
                yield line, ""


def to_run(command):
    """Of a command what is run here, or nothing."""
    for long, instead in INSTEAD.items():
        command = command.replace(long, instead)
    return " && ".join(part for part in command.split(" && ") if not part.strip().startswith(tuple(NOT_RUN)))


PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if any(to_run(command) for command, _ in shown(page))
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with the runs, texts and programs that the pages speak of."""
    folder = tmp_path_factory.mktemp("commands")
    text = '("THE FERRY\n\n{}[]:,\' 0123456789")\n' + sentences(5000) + "To be, or not to bee! Once agian. Xqz\n"
    text += "".join(map(chr, range(33, 127))) + "\n"
    for name in (
        "book.txt",
        "other.txt",
        "held_out.txt",
        "scene.txt",
        "texts/a.txt",
        "bible.txt",
        "dictionary.txt",
        "mine.txt",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    names = "emma\nolivia\nxqz\nemmma\nmargaret\nmarie\nivan\nhelga\njohn\n" * 60
    (folder / "lines.txt").write_text("emma\nThe ferry was late.\n")
    (folder / "names.lark").write_text('start: NAME (", " NAME){1,3} " and " NAME "."\nNAME: /[A-Z][a-z]{2,8}/\n')
    (folder / "schema.json").write_text(json.dumps({"type": "object", "properties": {"é": {"const": "é"}}}))
    tiny = {"embedding_size": 8, "hidden_size": 16, "num_layers": 1, "batch_size": 8, "seq_length": 16}
    tiny = {**tiny, "max_steps": 30, "cache": False}
    (folder / "runs").mkdir()
    textgru.train(folder / "book.txt", folder / "runs" / "tales", **tiny)
    for name in ("demo", "sh", "shakespeare"):
        shutil.copytree(folder / "runs" / "tales", folder / "runs" / name)
    textgru.train(folder / "book.txt", folder / "runs" / "lstm", cell="lstm", **tiny)
    textgru.train(folder / "book.txt", folder / "runs" / "bpe", tokenizer="bpe", vocab_size=300, **tiny)
    (folder / "names.txt").write_text(names)
    textgru.train(folder / "names.txt", folder / "runs" / "names", **{**tiny, "max_steps": 300})
    for name in ("tokenizer.json", "model.safetensors"):
        shutil.copy(folder / "runs" / "tales" / name, folder)
    shutil.copytree(ROOT / "corpora", folder / "corpora")
    (folder / "bin").mkdir()
    for name, words in {"textgru": "-m textgru", "python": ""}.items():
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        program.chmod(0o755)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_run(page, place, cache):
    environment = {**os.environ, "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for command, below in shown(page):
        if not (line := to_run(command)):
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line], cwd=place, env=environment, capture_output=True, text=True,
            timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if below.startswith("textgru: error: "):
            assert (done.returncode, done.stderr.strip()) == (2, below), command
        else:
            assert done.returncode == 0, (command, done.stderr)


def test_what_is_not_run_is_little():
    everything = [command for page in PAGES for command, _ in shown(page)]
    assert len([command for command in everything if to_run(command)]) > 40
