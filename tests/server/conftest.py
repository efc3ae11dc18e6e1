"""A real server process, and models small enough to start in a moment."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import textgru
from tests.texts import sentences

ROOT = Path(__file__).parents[2]
SMALL = {"embedding_size": 8, "hidden_size": 24, "num_layers": 1, "max_steps": 40, "batch_size": 8, "cache": False}


class Serving:
    """A process of `textgru serve`, its address, and what it has written to standard error so far."""

    def __init__(self, folder, *arguments, environment=None):
        self.log = folder / "serve.log"
        command = [sys.executable, "-m", "textgru", "serve", *map(str, arguments), "--port", "0"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        for line in self.process.stdout:
            if found := re.match(r"listening +(http://\S+?)/ ", line):
                self.url = found[1]
                self.port = int(self.url.rpartition(":")[2])
                return
        raise AssertionError(f"{command} didn't start: {self.log.read_text()}")

    def memory(self):
        """Resident bytes."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) * 1024

    def end(self, number=signal.SIGTERM, timeout=20):
        self.process.send_signal(number)
        code = self.process.wait(timeout)
        self.process.stdout.close()
        return code


@pytest.fixture(scope="package")
def runs(tmp_path_factory):
    """Runs of a char, a byte and a bpe model, by the kind of their tokenizer."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "text.txt").write_text(sentences(5000) + 'Zoë said {"12": 3.4}, 2024-05-06!\n')
    found = {}
    for kind, more in (("char", {}), ("byte", {}), ("bpe", {"vocab_size": 300})):
        found[kind] = folder / kind
        textgru.train(folder / "text.txt", found[kind], tokenizer=kind, seed=1, **SMALL, **more)
    return found


@pytest.fixture(scope="package")
def serving(runs, tmp_path_factory):
    """One server for all tests that leave it as it was."""
    started = Serving(tmp_path_factory.mktemp("log"), *runs.values(), "--max-tokens", 20000, "--queue", 40)
    yield started
    assert started.end() == 0
    assert "Traceback" not in started.log.read_text()


@pytest.fixture
def serve(tmp_path):
    """Starts further servers, and ends those that still run."""
    started = []

    def start(*arguments, **more):
        started.append(Serving(tmp_path, *arguments, **more))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.process.stdout.close()
