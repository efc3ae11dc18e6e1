"""textgru's own encoding of long texts by a byte-level BPE against that of the tokenizers library.

    python -m benchmarks.bpe_encoding [--threads 2 8] [--rounds N] [--megabytes N] [--vocab-size N] [FILES...]

Every side encodes each text in turn, in a process of its own, N rounds. A file smaller than N megabytes is repeated.
Without files, a text like that of benchmarks.large_text is made. Printed are MB a second (median, least and most) and
the most memory that one process had; reading the file, learning the vocabulary and starting Python don't count. The
ids have to be the same, but for words of more than 4,096 characters, which textgru cuts.

- library: encode_batch_fast, 32 pieces of 65,536 characters at a time, on RAYON_NUM_THREADS threads
- textgru: Tokenizer.encode_blocks, which looks words up, on one thread
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.common import print_table
from benchmarks.large_text import write_text
from textgru.text.byte_level_tokenizer import ByteLevelTokenizer
from textgru.text.tokenizer import Tokenizer
from textgru.text.word_encoder import word_pieces

BLOCK = 1 << 20  # characters that a text comes in at a time
PIECES = 32  # of 65,536 characters or a little more, that the library gets at a time


def library(tokenizer: ByteLevelTokenizer, blocks: Iterable[str]) -> Iterator[np.ndarray]:
    pieces = word_pieces(blocks)
    while batch := list(islice(pieces, PIECES)):
        for encoding in tokenizer.backend.encode_batch_fast(batch, add_special_tokens=False):
            yield np.array(encoding.ids, tokenizer.id_type)


def textgru(tokenizer: ByteLevelTokenizer, blocks: Iterable[str]) -> Iterator[np.ndarray]:
    return tokenizer.encode_blocks(blocks)


SIDES: dict[str, Callable[[ByteLevelTokenizer, Iterable[str]], Iterator[np.ndarray]]] = {
    "library": library, "textgru": textgru,
}  # fmt: skip


def measure(side: str, text: Path, tokenizer_json: Path) -> None:
    """Prints what one process measured, as JSON."""
    tokenizer = Tokenizer.load(tokenizer_json)
    assert isinstance(tokenizer, ByteLevelTokenizer)
    characters = text.read_text(encoding="utf-8")
    blocks = (characters[i : i + BLOCK] for i in range(0, len(characters), BLOCK))
    seen, tokens = hashlib.sha256(), 0
    begin = perf_counter()
    for ids in SIDES[side](tokenizer, blocks):
        seen.update(ids.tobytes())
        tokens += len(ids)
    seconds = perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "tokens": tokens, "sha256": seen.hexdigest(), "mib": peak / 1024}))


def compare(text: Path, tokenizer_json: Path, threads: int, rounds: int) -> list[list[str]]:
    """The rows of the table for one text."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, runs in found.items():
            command = [sys.executable, "-m", "benchmarks.bpe_encoding", "--measure", side, str(text),
                       str(tokenizer_json)]  # fmt: skip
            environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
            runs.append(json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout))
    megabytes = text.stat().st_size / 1e6
    same = len({run["sha256"] for runs in found.values() for run in runs}) == 1
    first = statistics.median(run["seconds"] for run in found["library"])
    rows = []
    for side, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        median = statistics.median(seconds)
        rate = f"{megabytes / median:.1f} ({megabytes / max(seconds):.1f}-{megabytes / min(seconds):.1f})"
        memory = max(run["mib"] for run in runs)
        rows.append([f"{text.name}, {megabytes:,.0f} MB", str(threads), side, rate, f"{first / median:.2f}",
                     f"{memory:,.0f}", "the same" if same else "DIFFERENT"])  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--vocab-size", type=int, default=1024)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        side, file, tokenizer_json = arguments.measure
        measure(side, Path(file), Path(tokenizer_json))
        return
    heading = ["text", "threads", "side", "MB/s: median (least-most)", "of the library's", "MiB", "ids"]
    with tempfile.TemporaryDirectory() as folder:
        for number, source in enumerate(arguments.files or [None]):
            text = Path(folder, source.name if source else f"made-{number}.txt")
            if source is None:
                write_text(text, arguments.megabytes)
            else:
                content = source.read_text(encoding="utf-8")
                times = max(1, round(arguments.megabytes * 1e6 / source.stat().st_size))
                text.write_text(content * times, encoding="utf-8")
            learned = Path(folder, "tokenizer.json")
            sample = text.read_text(encoding="utf-8")
            blocks = [sample[i : i + BLOCK] for i in range(0, len(sample), BLOCK)]
            tokenizer = Tokenizer.train("bpe", partial(list, blocks), vocab_size=arguments.vocab_size)
            learned.write_text(tokenizer.to_json(), encoding="utf-8")
            for threads in arguments.threads:
                print_table([heading, *compare(text, learned, threads, arguments.rounds)])


if __name__ == "__main__":
    main()
