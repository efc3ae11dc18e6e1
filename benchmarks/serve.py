"""`textgru serve` under load, on the loopback address: tokens a second and the time to the first token beside `textgru
sample`; then many requests with clients that leave, bad bodies and slow readers.

    python -m benchmarks.serve [speed] [soak] [--hidden N] [--precision P] [--rounds N] [--requests N]

The model is new (its weights don't matter to its speed): characters, 1 layer of --hidden units. The client is small,
on asyncio's streams, in this process; the server is the real one, in another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.common import print_table
from textgru.language_model import LanguageModel, load
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,;:!?'\n-()0"  # 65
STREAMS = 64
CONTROLS: dict[str, Any] = {"temperature": 0.8, "top_p": 0.9}


class Server:
    """`textgru serve RUN` in a process of its own."""

    def __init__(self, run: Path, precision: str, *more: str) -> None:
        command = [sys.executable, "-m", "textgru", "serve", str(run), "--port", "0", "--precision", precision, *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.match(r"listening +http://127.0.0.1:(\d+)/", line):
                self.port = int(found[1])
                return
        raise SystemExit("the server didn't start")

    def memory(self) -> float:
        """Resident, in MB."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1000

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


async def post(port: int, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    await writer.drain()
    return reader, writer


async def stream(port: int, settings: dict[str, Any]) -> float:
    """Reads a whole stream; the seconds to its first event."""
    began, first = perf_counter(), 0.0
    reader, writer = await post(port, json.dumps({**settings, "stream": True}).encode())
    end = b""
    while part := await reader.read(1 << 16):
        if not first and b"data: " in part:
            first = perf_counter() - began
        end = (end + part)[-100:]
    writer.close()
    if b"[DONE]" not in end:
        raise SystemExit(f"a stream did not end: {end!r}")
    return first


async def streams(port: int, count: int, length: int) -> tuple[float, list[float]]:
    """Tokens a second of so many streams at once, and the times to their first tokens."""
    settings = {"prompt": "the ", "max_tokens": length, **CONTROLS}
    began = perf_counter()
    firsts = await asyncio.gather(*(stream(port, {**settings, "seed": i}) for i in range(count)))
    return count * length / (perf_counter() - began), list(firsts)


async def arriving(port: int, length: int, seconds: float) -> list[float]:
    """The times to the first token of requests that arrive one by one while 32 streams run without a pause."""
    rng, ended, firsts = random.Random(0), False, []

    async def busy(i: int) -> None:
        while not ended:
            await stream(port, {"prompt": "the ", "max_tokens": length, "seed": i, **CONTROLS})

    running = [asyncio.create_task(busy(i)) for i in range(STREAMS // 2)]
    began = perf_counter()
    while perf_counter() - began < seconds:
        prompt = "".join(rng.choice(ALPHABET) for _ in range(rng.choice((1, 20, 200, 2000))))
        firsts.append(await stream(port, {"prompt": prompt, "max_tokens": 20, **CONTROLS}))
    ended = True
    await asyncio.gather(*running)
    return firsts


def sampled(model: LanguageModel, count: int, length: int) -> float:
    """Tokens a second of `textgru sample --num-samples`."""
    began = perf_counter()
    for _ in model.pieces(["the "] * count, length=length, seed=0, **CONTROLS):
        pass
    return count * length / (perf_counter() - began)


def speed(run: Path, precision: str, rounds: int) -> None:
    model, server = load(run, precision=precision), Server(run, precision)
    rows = []
    for count, length in ((1, 10_000), (STREAMS, 2000)):
        asyncio.run(streams(server.port, count, 200))
        own, served, firsts = [], [], []
        for _ in range(rounds):
            own.append(sampled(model, count, length))
            rate, times = asyncio.run(streams(server.port, count, length))
            served.append(rate)
            firsts += times
        a, b = statistics.median(served), statistics.median(own)
        rows.append((f"{count}", f"{a:,.0f}", f"{b:,.0f}", f"{a / b:.2f}", *_quantiles(firsts)))
    firsts = asyncio.run(arriving(server.port, 2000, 10.0))
    rows.append((f"{STREAMS // 2}, others arriving", "", "", "", *_quantiles(firsts)))
    server.end()
    print_table([["streams", "served", "sample", "ratio", "first token, median, ms", "99%, ms"], *rows])


def _quantiles(seconds: list[float]) -> tuple[str, str]:
    ordered = sorted(seconds)
    return f"{1000 * statistics.median(ordered):.1f}", f"{1000 * ordered[int(0.99 * (len(ordered) - 1))]:.1f}"


BAD = [
    b"{", b"[" * 5000, b'{"prompt": "\xff"}', b'{"n": -1}', b'{"temperature": "x"}', b'{"prompt": [99999]}', b"null",
    b'{"regex": "("}', b'{"model": "../x"}', b'{"suffix": "x"}',
]  # fmt: skip


async def one(port: int, rng: random.Random, counts: dict[str, int]) -> None:
    """A request of some kind; counts how it ended."""
    kind = rng.choices(("whole", "stream", "leaves", "bad", "slow"), (4, 4, 4, 3, 1))[0]
    settings = {"prompt": "the " * rng.randint(0, 20), "max_tokens": rng.randint(1, 300), "n": rng.randint(1, 3)}
    settings |= rng.choice(({}, {"top_p": 0.9}, {"temperature": 0}, {"logprobs": 2}, {"top_k": 5, "min_p": 0.1}))
    if kind != "whole":
        settings["stream"] = True
    if kind == "leaves":
        settings["max_tokens"] = 5000
    body = rng.choice(BAD) if kind == "bad" else json.dumps(settings).encode()
    reader, writer = await post(port, body)
    try:
        if kind == "leaves":
            await asyncio.sleep(rng.random() * 0.1)
            if rng.random() < 0.5:
                await reader.read(100)
            counts["left"] += 1
            return
        answer = b""
        while part := await reader.read(200 if kind == "slow" else 1 << 16):
            answer = answer or part
            if kind == "slow":
                await asyncio.sleep(0.01)
        counts[answer.split()[1].decode() if answer else "closed"] += 1
    finally:
        writer.close()


async def soak(port: int, requests: int, counts: dict[str, int]) -> None:
    rng, left = random.Random(1), iter(range(requests))

    async def client() -> None:
        for _ in left:
            await one(port, rng, counts)

    await asyncio.gather(*(client() for _ in range(48)))


class Counts(dict[str, int]):
    def __missing__(self, key: str) -> int:
        return 0


def soaked(run: Path, precision: str, requests: int) -> None:
    server, counts, rows = Server(run, precision), Counts(), []
    parts = 5
    asyncio.run(soak(server.port, 500, Counts()))  # what is allocated once
    for part in range(parts):
        began = perf_counter()
        asyncio.run(soak(server.port, requests // parts, counts))
        seconds = perf_counter() - began
        held = server.metric("textgru_texts_active") + server.metric("textgru_texts_waiting")
        rows.append((f"{(part + 1) * requests // parts:,}", f"{seconds:.1f}", f"{held:.0f}", f"{server.memory():.1f}"))
    print_table([["requests", "seconds", "places held after", "resident, MB"], *rows])
    print("answers:", ", ".join(f"{status}: {count:,}" for status, count in sorted(counts.items())))
    failed = sum(count for status, count in counts.items() if status.startswith("5") or status == "closed")
    server.end()
    if failed or held or server.process.returncode:
        raise SystemExit(
            f"{failed} errors of the server, {held:.0f} places lost, exit code {server.process.returncode}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["speed", "soak", []], help="default: both")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--precision", choices=["fp32", "bf16", "int8"], default="fp32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=10_000)
    arguments = parser.parse_args()
    parts = arguments.parts or ["speed", "soak"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "model")
        tokenizer = Tokenizer.train("char", lambda: [ALPHABET])
        network = Network(NetworkConfig(tokenizer.vocab_size, 64, arguments.hidden, 1), seed=1)
        LanguageModel(network, tokenizer).save(run)
        if "speed" in parts:
            speed(run, arguments.precision, arguments.rounds)
        if "soak" in parts:
            soaked(run, arguments.precision, arguments.requests)


if __name__ == "__main__":
    main()
