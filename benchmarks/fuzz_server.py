"""Odd requests to a real server: odd JSON, odd values in every field, odd paths, methods and headers, half requests.

    python -m benchmarks.fuzz_server [--cases N] [--seed N] [--only CASE]

Whatever comes, an answer is well-formed HTTP, and an error the JSON that OpenAI's clients know, with one line; between
them the server answers a sound request as ever; its log has no traceback, its memory stays bounded. A case is a number:
`--only` shows what was sent and what came back.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import textgru
from benchmarks.damage import ODD, RAW, TEXT

MOST_GROWN = 200 << 20  # bytes of memory, over all cases
LONGEST = 20.0  # seconds for an answer
SIDE_BY_SIDE = 8  # requests
EVERY = 50  # cases, between two sound requests
GOOD = {"model": "char", "prompt": "The ferry", "max_tokens": 5, "seed": 1, "temperature": 0}
FIELDS: dict[str, Any] = {
    "model": "bpe", "prompt": ["The", "A"], "max_tokens": 3, "length_chars": 5, "n": 2, "best_of": 2, "stream": True,
    "stream_options": {"include_usage": True}, "stop": ["."], "stop_at": "line", "seed": 3, "logprobs": 2, "echo": True,
    "logit_bias": {"3": -5}, "temperature": 0.5, "top_k": 3, "top_p": 0.5, "min_p": 0.1, "typical_p": 0.9,
    "top_n_sigma": 1.0, "repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": 0.5,
    "mirostat_tau": 3.0, "dry_multiplier": 0.8, "regex": "[a-z ]+", "grammar": "start: /[a-z]+/", "json_schema": "{}",
    "user": "x", "banned": [1], "min_tokens": 2, "dynatemp_range": 0.2, "penalty_last_n": 5,
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"model": "char", "input": ["The", "A"], "encoding_format": "base64", "dimensions": 8,
                       "pool": "mean", "user": "x"},
    "/score": {"model": "bpe", "input": "The ferry", "alternatives": 2},
    "/tokenize": {"model": "char", "content": "The ferry"},
    "/detokenize": {"model": "bpe", "tokens": [1, 2]},
}  # fmt: skip
PATHS = [
    "/v1/completions", "/v1/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/models/char",
    "/health",
    "/metrics", "/tokenize", "/detokenize", "/v1/score", "/score", "/v1/chat/completions", "/", "/../etc/passwd",
    "/%00",
    "//", "/v1/completions/", "/v1/completions?x=1", "/\udcff", "/" + "a" * 9000, "*", "http://other/v1/models", "/é",
]  # fmt: skip
JSON = "Content-Type: application/json"
METHODS = [*["POST"] * 4, "GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "BREW", "", "G ET"]
HEADERS = [
    "Host: 127.0.0.1", "Host: evil.example", "Host:", "Authorization: Bearer x", "Content-Type: text/plain",
    "Content-Type: application/json; charset=utf-16", "Transfer-Encoding: chunked", "Content-Length: -1",
    "Content-Length: 99999999999999999999", "Content-Length: 5", "Expect: 100-continue", "X: " + "y" * 9000, "no colon",
    "Upgrade: websocket", "Connection: close", "Connection: Upgrade, HTTP2-Settings", "Content-Encoding: gzip",
    "\udcff: x",
    "Origin: http://evil.example", "Range: bytes=0-1", ": empty",
]  # fmt: skip


def odd_body(rng: random.Random, path: str) -> bytes:
    """A JSON object with some odd values, or something else."""
    fields = OTHERS.get(path, FIELDS)
    body: dict[str, Any] = dict(OTHERS.get(path, GOOD)) if rng.random() < 0.9 else {}
    for name in rng.sample(sorted(fields), min(len(fields), rng.choice((0, 1, 1, 2, 3, 6)))):
        body[name] = fields[name]
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        name = rng.choice(sorted(fields)) if rng.random() < 0.9 else rng.choice(["x", "", "é", "__class__", "model\0"])
        odd = rng.choice(ODD)
        body[name] = rng.choice((odd, odd, [odd], {"a": odd}, [odd, fields.get(name)], {"0": odd}))
    text = json.dumps(body)
    if rng.random() < 0.1:
        text = rng.choice(RAW)
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.15:
        at = rng.randrange(len(data) + 1)
        data = rng.choice((data[:at], data[:at] + rng.randbytes(3) + data[at:], data + data, b"", rng.randbytes(40)))
    return data


def odd_request(rng: random.Random) -> bytes:
    """A request, and how it may be sent: often only one of its parts is odd."""
    path, method, headers = "/v1/completions", "POST", ["Host: 127.0.0.1", JSON]
    if rng.random() < 0.9:
        headers.append("Connection: close")
    if rng.random() < 0.3:
        path = rng.choice(sorted(OTHERS))
    body = odd_body(rng, path)
    if rng.random() < 0.15:
        path, method = rng.choice(PATHS), rng.choice(METHODS)
    length = str(len(body))
    if rng.random() < 0.1:
        length = rng.choice(("0", "x", "-5", "1e3", str(len(body) + 9), str(max(0, len(body) - 9)), "", "0x10", "5, 5"))
    headers.append(f"Content-Length: {length}")
    if rng.random() < 0.2:
        headers[rng.randrange(len(headers)) :] = rng.sample(HEADERS, 2)
    version = rng.choice(["HTTP/1.1"] * 30 + ["HTTP/1.0", "HTTP/9.9", "", "FTP/1.1"])
    head = f"{method} {path} {version}\r\n" + "".join(f"{line}\r\n" for line in headers) + "\r\n"
    data = head.encode("utf-8", "surrogateescape") + body
    if rng.random() < 0.1:
        at = rng.randrange(len(data))
        data = rng.choice(
            (data[:at], data[:at] + rng.randbytes(2) + data[at:], data.replace(b"\r\n", b"\n"), data + data)
        )
    return data


class Server:
    """A process of `textgru serve`."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        runs = [str(folder / name) for name in ("char", "bpe")]
        limits = ["--max-tokens", "200", "--max-seconds", "5", "--idle-seconds", "0.5", "--max-body", "64"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "textgru", "serve", *runs, "--port", "0", *limits], stdout=subprocess.PIPE,
                stderr=log, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.match(r"listening +http://\S+:(\d+)/ ", line):
                self.port = int(found[1])
                return
        raise RuntimeError(f"the server didn't start: {self.log.read_text()}")

    def memory(self) -> int:
        """Resident bytes."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def send(self, data: bytes, *, waits: bool = True) -> bytes:
        """What comes back, until the server closes the connection or an answer is whole."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=LONGEST) as connection:
            try:
                connection.sendall(data)
                while waits and not _is_whole(answer) and (part := connection.recv(1 << 16)):
                    answer += part
            except (ConnectionResetError, BrokenPipeError):
                pass
        return answer


def _is_whole(answer: bytes) -> bool:
    """Whether all of one answer is there, where that can be told."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(blank) and length is not None and len(body) >= int(length[1])


def check(request: bytes, answer: bytes) -> str:
    """What kind of answer it is. Raises AssertionError or ValueError for one that is malformed."""
    while answer.startswith(b"HTTP/1.1 100 \r\n\r\n"):
        answer = answer.partition(b"\r\n\r\n")[2]
    if not answer:
        return "closed"
    head, blank, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    status = re.fullmatch(r"HTTP/1\.1 (\d{3}) ?[A-Za-z '-]*", line)
    assert status, f"the status line: {line[:100]!r}"
    assert blank, f"headers without an end: {head[-100:]!r}"
    assert all(re.fullmatch(r"[A-Za-z-]+: [ -~]*", one) for one in lines), f"headers: {lines}"
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    code = int(status[1])
    assert code < 500 or code == 503, f"status {code}: {body[:300]!r}"
    if request.startswith(b"HEAD ") or code == 307:
        return f"{code}"
    kind = headers.get("content-type", "").partition(";")[0]
    content = _content(headers, body)
    if code >= 400:
        assert kind == "application/json", f"{code} as {kind}: {content[:300]!r}"
        _check_error(json.loads(content)["error"])
    elif kind == "text/event-stream":
        *events, last, rest = content.decode().split("\n\n")
        assert (last, rest) == ("data: [DONE]", ""), f"the last events: {content[-300:]!r}"
        for event in events:
            _check_texts(event.removeprefix("data: "))
    elif kind == "application/json" and b'"text_completion"' in content:
        _check_texts(content.decode())
    elif kind == "application/json":
        json.loads(content, parse_constant=_no_json)
    return f"{code} {kind}"


def _content(headers: Mapping[str, str], body: bytes) -> bytes:
    """What the first answer has. Raises AssertionError where its end hasn't come."""
    if headers.get("transfer-encoding") != "chunked":
        size = int(headers["content-length"]) if "content-length" in headers else len(body)
        assert len(body) >= size, f"{len(body)} of {size} bytes"
        return body[:size]
    parts = list[bytes]()
    while True:
        line, _, body = body.partition(b"\r\n")
        assert line, "a stream that doesn't end"
        if (size := int(line, 16)) == 0:
            return b"".join(parts)
        assert body[size : size + 2] == b"\r\n", f"a chunk that isn't {size} bytes"
        parts.append(body[:size])
        body = body[size + 2 :]


def _check_error(error: Mapping[str, Any]) -> None:
    assert set(error) == {"message", "type", "param", "code"}, f"an error with {sorted(error)}"
    message = error["message"]
    assert isinstance(message, str), f"message: {error}"
    assert "\n" not in message, f"message of several lines: {message[:200]!r}"
    assert 0 < len(message) < 1500, f"message of {len(message)} characters"
    assert "Traceback" not in message, message[:300]
    assert isinstance(error["type"], str), f"type: {error}"
    assert error["param"] is None or isinstance(error["param"], str), f"param: {error}"


def _check_texts(text: str) -> None:
    """The JSON of a completion, or of a part of one."""
    found = json.loads(text, parse_constant=_no_json)
    assert "error" not in found, f"an error in a stream: {text[:300]}"
    assert found["object"] == "text_completion", text[:300]
    assert isinstance(found["choices"], list), text[:300]
    for choice in found["choices"]:
        assert isinstance(choice["text"], str), text[:300]
        assert choice["finish_reason"] in ("stop", "length", None), text[:300]


def _no_json(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def sound(server: Server) -> bytes:
    """The answer to a request as any client sends it."""
    body = json.dumps(GOOD).encode()
    headers = ["Host: 127.0.0.1", "Connection: close", JSON, f"Content-Length: {len(body)}"]
    head = "".join(f"{line}\r\n" for line in ("POST /v1/completions HTTP/1.1", *headers, ""))
    answer = server.send(head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 200 "), f"a sound request: {answer[:300]!r}"
    return json.dumps(json.loads(answer.partition(b"\r\n\r\n")[2])["choices"]).encode()


def main() -> None:
    """Sends the cases one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes: dict[str, Any] = {"hidden_size": 8, "embedding_size": 4, "batch_size": 4, "seq_length": 8}
        (folder / "text.txt").write_text(TEXT)
        for kind, more in (("char", {}), ("bpe", {"vocab_size": 300})):
            sizes.update(more)
            textgru.train(folder / "text.txt", folder / kind, tokenizer=kind, max_steps=5, cache=False, **sizes)
        server = Server(folder)
        try:
            failures = run(server, options.cases, options.seed, options.only)
        finally:
            server.process.terminate()
            code = server.process.wait(30)
        log = server.log.read_text(errors="replace")
        if code != 0 or "Traceback" in log:
            at = log.find("Traceback")
            failures.append(f"the server ended with {code}: {log[max(0, at - 300) :][:3000]}")
    for failure in failures[:20]:
        print(f"FAILED {failure[:4000]}")
    print(f"{options.cases:,} cases, {len(failures)} failures")
    sys.exit(bool(failures))


def run(server: Server, cases: int, seed: int, only: int | None) -> list[str]:
    """The failures."""
    wanted, failures, answers = sound(server), list[str](), Counter[str]()
    begin, before = time.monotonic(), server.memory()

    def one(number: int) -> None:
        rng = random.Random(seed * 1_000_003 + number)
        request = odd_request(rng)
        try:
            answer = server.send(request, waits=rng.random() < 0.95)
            if only is not None:
                print(request[:3000], "\n\n", answer[:3000])
            answers[check(request, answer)] += 1
            if number % EVERY == 0:
                assert sound(server) == wanted, "a sound request is answered otherwise than before"
        except (AssertionError, OSError, ValueError, KeyError, TypeError) as error:
            failures.append(f"case {number}: {type(error).__name__}: {error}: {request[:300]!r}")

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(one, range(cases) if only is None else [only]))
    grown = server.memory() - before if server.process.poll() is None else 0
    if grown > MOST_GROWN:
        failures.append(f"{grown / 1e6:,.0f} MB more memory than at the beginning")
    for kind, count in sorted(answers.items()):
        print(f"{kind:24} {count:8,}")
    print(f"{time.monotonic() - begin:.0f} s, {grown / 1e6:+.0f} MB of memory")
    return failures


if __name__ == "__main__":
    main()
