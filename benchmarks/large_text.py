"""How a training on a large text starts, the first time and the second.

    python -m benchmarks.large_text [--megabytes 1000] [--tokenizers char bpe]

Makes a text of the given size (the tales of the included corpus, their paragraphs drawn at random with some words
swapped and a number of their own), trains on it twice with each tokenizer, and prints for each the seconds from the
start of the process to the end of the first training step, and the most memory that was resident at a time. Every
training is a process of its own; the cache of encoded texts is a private one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWAPS = 3


def write_text(path: Path, megabytes: float) -> None:
    """Paragraphs of the included corpus, no two the same."""
    from textgru import corpora

    paragraphs = corpora.path("ostrey").read_text(encoding="utf-8").split("\n\n")
    rng, written = random.Random(0), 0
    with path.open("w", encoding="utf-8") as file:
        while written < megabytes * 1e6:
            words = rng.choice(paragraphs).split(" ")
            for _ in range(SWAPS):
                a, b = rng.randrange(len(words)), rng.randrange(len(words))
                words[a], words[b] = words[b], words[a]
            written += file.write(f"{' '.join(words)} {written}\n\n")


def train(text: str, out: str, tokenizer: str, started: float) -> None:
    """Prints when the first step is done."""
    from textgru.training.events import StepEvent
    from textgru.training.run import TrainingRun

    with TrainingRun([text], out, tokenizer=tokenizer, training={"max_steps": 20}) as run:
        for event in run.events():
            if isinstance(event, StepEvent):
                seconds = time.time() - started
                break
        plan = run.plan()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tokens = plan.train_tokens + plan.validation_tokens
    print(json.dumps({"seconds": seconds, "peak": peak, "before": plan.encoded_before, "tokens": tokens}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=1000)
    parser.add_argument("--tokenizers", nargs="+", default=["char", "bpe"])
    parser.add_argument("--train", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        text, out, tokenizer, started = arguments.train
        train(text, out, tokenizer, float(started))
        return
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        write_text(text, arguments.megabytes)
        environment = {**os.environ, "TEXTGRU_CACHE": str(Path(folder, "cache"))}
        print(f"{text.stat().st_size / 1e6:,.0f} MB    to the first step   peak memory   tokens")
        for tokenizer in arguments.tokenizers:
            for run in ("first", "second"):
                command = [sys.executable, "-m", "benchmarks.large_text", "--train", str(text),
                           str(Path(folder, "run")), tokenizer, str(time.time())]  # fmt: skip
                done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
                facts = json.loads(done.stdout)
                assert facts["before"] == (run == "second")
                memory = facts["peak"] / 1024
                print(
                    f"{tokenizer:5} {run:7} {facts['seconds']:10.1f} s {memory:16,.0f} MiB {facts['tokens']:>15,}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
