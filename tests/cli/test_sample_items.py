"""textgru sample --lines: names and the like."""

import json
import random
import shutil

import pytest
from click.testing import CliRunner

import textgru
from tests.cli.conftest import SMALL
from textgru.cli import main

SYLLABLES = "ka ri mo ta ne su".split()


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """A text of made-up names, and a model of it."""
    folder = tmp_path_factory.mktemp("names")
    rng = random.Random(0)
    text = "".join("".join(rng.choices(SYLLABLES, k=rng.randint(1, 2))) + "\n" for _ in range(3000))
    (folder / "names.txt").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(
        main, ["train", str(folder / "names.txt"), "--out", str(folder / "run"), "--max-steps", "150", *SMALL]
    )
    assert result.exit_code == 0, result.output
    return folder


def test_one_item_a_line(cli, names):
    lines = cli("sample", names / "run", "--lines", "-s", 1).stdout.splitlines()
    assert len(lines) == 10
    assert all(lines)
    assert cli("sample", names / "run", "--lines", "-s", 1, "--num-samples", 4).stdout.splitlines() == lines[:4]
    model = textgru.load(names / "run")
    assert lines[0] == model.generate("\n", stop_at="line", seed=1).strip()
    begun = cli("sample", names / "run", "--lines", "-s", 1, "-p", "mo").stdout.splitlines()
    assert all(line.startswith("mo") for line in begun)
    assert begun[0] == model.generate("\nmo", stop_at="line", seed=1).strip()


def test_only_new_ones(cli, names):
    known = set((names / "names.txt").read_text(encoding="utf-8").splitlines())
    plain = cli("sample", names / "run", "--lines", "-s", 1, "--num-samples", 200).stdout.splitlines()
    assert known.intersection(plain)
    new = cli("sample", names / "run", "--lines", "-s", 1, "--novel", "--num-samples", 30).stdout.splitlines()
    assert len(set(new)) == 30
    assert not known.intersection(new)
    assert new == [line for line in dict.fromkeys(plain) if line not in known][: len(new)]


def test_where_the_training_text_is(cli, fails, names, tmp_path):
    shutil.copytree(names / "run", tmp_path / "run")
    settings = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    settings["corpus"]["files"] = ["gone.txt"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    options = ["sample", tmp_path / "run", "--lines", "--novel", "-s", 1]
    assert "--novel: the training text gone.txt is not there; name it with --text FILE" in fails(*options)
    there = cli(*options, "--text", names / "names.txt").stdout
    assert there == cli("sample", names / "run", "--lines", "--novel", "-s", 1).stdout


def test_it_gives_up_where_nothing_new_comes(cli, names):
    result = cli("sample", names / "run", "--lines", "--novel", "-s", 1, "--temp", 0, "-p", "ka", "--num-samples", 5)
    assert result.exit_code == 0
    assert result.stderr.startswith("textgru: warning: ")
    assert "of 5 items: the last 1,000 that were drawn were in the training text, or written before" in result.stderr


def test_as_json(cli, names):
    lines = cli("sample", names / "run", "--lines", "-s", 1, "--json", "-p", "mo").stdout.splitlines()
    plain = cli("sample", names / "run", "--lines", "-s", 1, "-p", "mo").stdout.splitlines()
    assert ["mo" + json.loads(line)["text"] for line in lines] == plain
    assert [json.loads(line)["number"] for line in lines] == list(range(1, 11))
