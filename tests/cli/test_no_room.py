"""Commands that can't write all of a file: one line, and what stood there stays."""

import os
import resource
import subprocess
import sys

import pytest

import textgru
from benchmarks.kills_of_commands import COMMANDS, content
from tests.texts import sentences


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("no-room")
    (folder / "more.txt").write_text(sentences(6000))
    (folder / "few.txt").write_text(sentences(100))
    settings = {"hidden_size": 16, "embedding_size": 8, "batch_size": 8, "seq_length": 16, "max_steps": 5}
    for seed, name in enumerate(("one", "two")):
        textgru.train(folder / "more.txt", folder / name, seed=seed, **settings)
    return folder


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the system limits no file sizes")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_what_stood_there_stays(place, command):
    """A limit to the size of a file is met as a full disk is, after some bytes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TEXTGRU_CACHE": str(place / "cache")}

    def call(run, limit=resource.RLIM_INFINITY):
        return subprocess.run(
            [sys.executable, "-m", "textgru", *command.format(run=run, out="out").split()], cwd=place, env=environment,
            capture_output=True, text=True, timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )  # fmt: skip

    assert call("one").returncode == 0
    before, beside = content(place / "out"), sorted(os.listdir(place))
    for limit in (0, 100, max(map(len, before.values())) // 2):
        failed = call("two", limit)
        lines = [line for line in failed.stderr.splitlines() if not line.startswith("seed ")]
        assert failed.returncode in (1, 2), (limit, failed.stdout, failed.stderr)
        assert len(lines) == 1, lines
        assert lines[0].startswith("textgru: error: ")
        assert "File too large" in lines[0] or "No usable temporary directory" in lines[0]
        assert "standard output" not in lines[0]
        assert content(place / "out") == before, limit
        assert sorted(os.listdir(place)) == beside, limit
    assert call("two").returncode == 0
    assert content(place / "out") != before
    subprocess.run(["rm", "-r", place / "out", place / "cache"], check=False)
