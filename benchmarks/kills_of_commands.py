"""Every command that writes is killed at random moments, again and again, over what another call of it wrote.

    python -m benchmarks.kills_of_commands [--kills N] [--seed N] [--only COMMAND]

After each SIGKILL what stands in the place is what one whole call or the other wrote, byte for byte, of a folder each
of its files; nothing hinders the next call; in the end a call that is left alone leaves that and nothing else.
`benchmarks.kills` does it with trainings.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import textgru
from benchmarks.damage import TEXT
from textgru.runs.layout import WEIGHTS

SMALL: dict[str, Any] = {"hidden_size": 48, "embedding_size": 16, "batch_size": 8, "seq_length": 16, "cache": False}

# What is called with which run, {run}, and where it writes to, {out}.
COMMANDS = {
    "quantize": "quantize {run} --out {out} --overwrite",
    "learn": "learn {run} more.txt --out {out} --overwrite --epochs 0.1 --rehearsal 4096",
    "import": "import {run}/model.safetensors --tokenizer {run}/tokenizer.json --out {out} --overwrite",
    "export onnx": "export {run} --to onnx --out {out} --overwrite",
    "export torch": "export {run} --to torch --out {out} --overwrite",
    "export c": "export {run} --to c --out {out} --overwrite",
    "export html": "export {run} --to html --out {out} --overwrite",
    "save-state": "sample {run} -n 20 -s 1 --save-state {out}",
    "embed": "embed {run} --lines more.txt --out {out}",
    "inspect": "inspect {run} --file few.txt --html {out}",
    "score": "score {run} --file more.txt --html {out}",
    "cache": "train more.txt --out {out} --overwrite --max-steps 3 --batch-size 8 --seq-length 16 --init-from {run}",
}


def content(place: Path) -> dict[str, bytes]:
    """The files there, by name; what only tells of the moment left out."""
    if place.is_file():
        return {"": place.read_bytes()}
    found = (
        {str(path.relative_to(place)): path for path in place.rglob("*") if path.is_file()} if place.exists() else {}
    )
    return {
        name: path.read_bytes()
        for name, path in sorted(found.items())
        if name != "metrics.jsonl" and not name.startswith(("training", ".")) and "/." not in name
    }


class Place:
    """A folder in which a command is called with one run or the other."""

    def __init__(self, folder: Path, command: str) -> None:
        self.folder, self.command, self.out = folder, command, folder / "out"
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "TEXTGRU_CACHE": str(folder / "cache")}

    def start(self, run: str) -> subprocess.Popen[bytes]:
        """Calls it."""
        words = self.command.format(run=run, out="out").split()
        return subprocess.Popen(
            [sys.executable, "-m", "textgru", *words], cwd=self.folder, env=self.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def whole(self, run: str) -> dict[str, bytes]:
        """What a call that is left alone leaves."""
        process = self.start(run)
        _, errors = process.communicate()
        assert process.returncode == 0, f"{self.command}: {errors.decode()}"
        return content(self.out)


def killed(place: Place, kills: int, rng: random.Random) -> str:
    """Kills a command so often; a line about it. Raises AssertionError."""
    wanted, seconds = {}, 0.0
    for run in ("one", "two"):
        begin = perf_counter()
        wanted[run] = place.whole(run)
        seconds = perf_counter() - begin
    beside = sorted(path.name for path in place.folder.iterdir())
    assert wanted["one"] != wanted["two"], f"{place.command}: both runs leave the same"
    changed = mixed = 0
    before = content(place.out)
    for number in range(kills):
        process = place.start(("one", "two")[number % 2])
        try:
            process.wait(timeout=rng.uniform(0.4, 1.05) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        _, errors = process.communicate()
        assert process.returncode in (0, -9), f"{place.command}: {errors.decode()}"
        found = content(place.out)
        if found not in wanted.values():
            mixed += 1
            check_files(place, found, wanted)
        changed += found != before
        before = found
    for run in ("two", "one"):
        assert place.whole(run) == wanted[run], f"{place.command}: afterwards a call leaves something else"
    left = sorted(path.name for path in place.folder.iterdir())
    assert left == beside, f"{place.command}: leaves {sorted(set(left) - set(beside))}"
    return f"{kills} kills, {changed} of them after the new one stood there, {mixed} between two files of a folder"


def check_files(place: Place, found: Mapping[str, bytes], wanted: Mapping[str, Mapping[str, bytes]]) -> None:
    """Raises AssertionError unless each file is that of one call or the other; of the weights, which a training saves
    more than once, unless they can be read."""
    for name, data in found.items():
        if place.command.startswith("train") and name == WEIGHTS:
            textgru.load(place.out)
            continue
        whose = f"{place.command}: {name or 'the file'}"
        assert any(files.get(name) == data for files in wanted.values()), f"{whose} is neither"


def main() -> None:
    """Kills all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each command (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="COMMAND")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        runs = Path(name) / "runs"
        (runs / "texts").mkdir(parents=True)
        (runs / "texts" / "text.txt").write_text(TEXT)
        for seed, run in enumerate(("one", "two")):
            textgru.train(runs / "texts" / "text.txt", runs / run, max_steps=5, seed=seed, **SMALL)
        for what, command in COMMANDS.items():
            if options.only not in (None, what):
                continue
            folder = Path(name) / what.replace(" ", "-")
            folder.mkdir()
            for run in ("one", "two"):
                (folder / run).symlink_to(runs / run)
            (folder / "more.txt").write_text(TEXT[:6000])
            (folder / "few.txt").write_text(TEXT[:100])
            print(f"{what:12} {killed(Place(folder, command), options.kills, rng)}", flush=True)


if __name__ == "__main__":
    main()
