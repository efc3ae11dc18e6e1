"""Requests as somebody who means harm would send them: each is refused in time, and nothing else happens."""

import json
import os
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread

import pytest

SOON = 10.0  # seconds


@pytest.fixture(autouse=True)
def _still_serves(serving):
    yield
    status, answer = post(serving, "/v1/completions", {"model": "char", "prompt": "The", "max_tokens": 5, "seed": 1})
    assert status == 200
    assert len(answer["choices"][0]["text"]) == 5


def post(serving, path, body, headers=None):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = HTTPConnection("127.0.0.1", serving.port, timeout=SOON)
    try:
        connection.request("POST", path, sent, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def raw(serving, *parts, pause=0.0):
    """Sends bytes as they are; the status and what follows, b"" where the connection was closed."""
    with socket.create_connection(("127.0.0.1", serving.port), timeout=SOON) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
                if b"\r\n\r\n" in answer and b"Connection: close" not in answer:
                    break
        except (ConnectionResetError, TimeoutError):
            pass
    return int(answer.split()[1]) if answer else None, answer


@pytest.mark.parametrize(
    "path",
    [
        "/page/../../../../etc/passwd", "/page/..%2f..%2fmodels.py", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
        "/page/%00", "/v1/models/../../etc/passwd", "/v1/models/%2fetc%2fpasswd", "/page/" + "a" * 5000, "/.git/config",
    ],
)  # fmt: skip
def test_no_path_leads_to_a_file(serving, path):
    status, answer = raw(serving, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert status in (400, 404)
    assert b"root:" not in answer


def test_no_request_names_a_file(serving):
    for name in ("/etc/passwd", "../char", "char/../char"):
        assert post(serving, "/v1/completions", {"model": name, "prompt": "x"})[0] == 404


def test_a_flood_of_headers(serving):
    head = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    assert raw(serving, head, *(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(200)))[0] in (400, 431, None)
    assert raw(serving, head, b"X: " + b"y" * 1_000_000)[0] in (400, 431, None)


def test_a_body_of_a_gigabyte_is_not_read(serving):
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    status, _ = raw(serving, head + b"Content-Length: 1000000000\r\n\r\n{")
    assert status == 413
    before = serving.memory()
    chunk = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    status, _ = raw(serving, head + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 160)  # 10 MB of an endless body
    assert status in (413, None), "refused, or closed while it was being sent"
    assert serving.memory() - before < 30e6


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000, b'{"prompt":' * 50_000, b'{"prompt": "\xff"}', b'{"prompt": "\\ud800"}', b"", b"null", b"[]",
        b'"text"', b"{", b'{"temperature": NaN}', b'{"temperature": 1e999}', b'{"seed": ' + b"9" * 10_000 + b"}",
        b'{"prompt": [[[[1]]]]}', b'{"prompt": {}}', b'{"prompt": [1, "a"]}', b'{"prompt": [-1]}', b'{"prompt": [1.5]}',
        b'{"prompt": [true]}', b'{"prompt": [9223372036854775808]}', b'{"n": 0}', b'{"n": 1e9}', b'{"stop": [""]}',
        b'{"stop": ["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"]}', b'{"stop": 5}',
        b'{"max_tokens": -1}', b'{"max_tokens": 1e18}', b'{"logprobs": 1000}', b'{"logit_bias": {"-1": 1}}',
        b'{"logit_bias": {"1": 1e30}}', b'{"banned": [123456789]}', b'{"penalty_last_n": 1e15}', b'{"stream": "yes"}',
        b'{"json_schema": {"$ref": "file:///etc/passwd"}}', b'{"json_schema": "no"}', b'{"grammar": "start: nothing"}',
        b'{"regex": "a", "grammar": "start: \\"a\\""}', b'{"__class__": "x"}',
    ],
)  # fmt: skip
def test_odd_bodies(serving, body):
    if body.startswith(b"{") and body.endswith(b"}") and b'"model"' not in body:
        body = b'{"model": "char", ' + body[1:]
    status, answer = post(serving, "/v1/completions", body)
    assert status == 400
    assert answer["error"]["message"]
    assert len(answer["error"]["message"]) < 1000


@pytest.mark.parametrize(
    "regex",
    ["(a{1,1000}){1,1000}", "((((a*)*)*)*)*b", "(.{0,500}x.{0,500}){100}", "(" * 5000, ".*" * 2400, "(a|aa)+$" * 500,
     "a" * 30_000],
)  # fmt: skip
def test_a_regex_that_explodes_ends_in_time(serving, regex):
    began = time.monotonic()
    body = {"model": "char", "prompt": "x", "max_tokens": 5, "regex": regex}
    assert post(serving, "/v1/completions", body)[0] in (200, 400)
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize("path", ["/score", "/tokenize", "/detokenize", "/v1/embeddings"])
@pytest.mark.parametrize("body", [{}, {"input": 5}, {"tokens": [10**7]}, {"content": ["a"]}, {"input": [], "x": 1}])
def test_odd_bodies_elsewhere(serving, path, body):
    status, answer = post(serving, path, {"model": "char", **body})
    assert status == 400 or (not body and status == 200)
    assert status == 200 or answer["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("sent", [b"G ET / HTTP/1.1", b"GET / HTTP/1.1\r\nno colon", b"POST / FTP/1.1", b"\xff /"])
def test_what_is_no_http_is_refused_as_everything_else(serving, sent):
    status, answer = raw(serving, sent + b"\r\n\r\n")
    assert status == 400
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head
    assert json.loads(body)["error"] == {
        "message": "the request: Invalid HTTP request received", "type": "invalid_request_error", "param": None,
        "code": None,
    }  # fmt: skip


def test_garbage_and_half_requests(serving):
    assert raw(serving, b"\x16\x03\x01\x02\x00" * 100)[0] in (400, None)
    assert raw(serving, b"GET / HTTP/9.9\r\n\r\n")[0] in (400, 403, 505, None)
    with socket.create_connection(("127.0.0.1", serving.port)) as half:
        half.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Le")
    assert raw(serving, b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")[0] in (400, 403)
    for method in (b"HEAD", b"POST"):
        head = method + b" /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw(serving, head + b"{" * 100_000)
        raw(serving, head + b"5\r\n", b"{" * 100_000)
    assert "Traceback" not in serving.log.read_text()


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/v1/completions", {"max_tokens": 20000, "logprobs": 20, "n": 4}, "logprobs"),
        ("/v1/completions", {"prompt": "a" * 20_000, "echo": True, "n": 60, "max_tokens": 1}, "echo"),
        ("/v1/completions", {"prompt": [1] * 20_000, "echo": True, "logprobs": 20, "n": 2, "max_tokens": 1}, "echo"),
        ("/v1/completions", {"repetition_penalty": 1e-300, "prompt": "the the"}, None),
        ("/v1/completions", {"banned": [0], "logit_bias": {"1": -101}}, "logit_bias"),
        ("/score", {"input": "a" * 50_000, "alternatives": 20}, "input"),
        ("/v1/embeddings", {"input": ["a", "a" * 20_000]}, "input"),
        ("/v1/embeddings", {"input": ["a"] * 3000}, "input"),
    ],
)  # fmt: skip
def test_what_would_take_too_long_or_too_much_is_refused(serving, path, body, named):
    began = time.monotonic()
    status, answer = post(serving, path, {"model": "char", **body})
    assert (status, answer["error"]["param"]) == (400, named)
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/score", {"input": "Tam said " * 1000, "alternatives": 20}),
        ("/v1/completions", {"max_tokens": 8000, "logprobs": 20}),
    ],
)
def test_others_are_answered_while_something_large_is_done(serving, path, body):
    """It doesn't hold the loop that all connections share: then there would be an answer or two, not hundreds."""
    large, answers = Thread(target=post, args=(serving, path, {"model": "char", **body})), 0
    large.start()
    while large.is_alive():
        connection = HTTPConnection("127.0.0.1", serving.port, timeout=60)
        connection.request("GET", "/health")
        assert connection.getresponse().read()
        connection.close()
        answers += 1
    assert answers > 5


def test_another_host_name_is_refused(serving):
    assert post(serving, "/tokenize", {"content": "x"}, {"Host": "evil.example"})[0] == 403
    assert (
        post(serving, "/tokenize", {"model": "char", "content": "x"}, {"Host": f"localhost:{serving.port}"})[0] == 200
    )


def test_a_form_from_another_page_is_refused(serving):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert post(serving, "/v1/completions", {"model": "char"}, {"Content-Type": kind})[0] == 415


def test_no_page_elsewhere_may_read(serving):
    connection = HTTPConnection("127.0.0.1", serving.port, timeout=SOON)
    connection.request("GET", "/v1/models", headers={"Origin": "https://evil.example"})
    answer = connection.getresponse()
    assert answer.read()
    assert "access-control-allow-origin" not in {name.lower() for name, _ in answer.getheaders()}
    connection.close()


def test_odd_requests():
    """A few of the many that benchmarks.fuzz_server makes."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz_server", "--cases", "600", "--seed", "7"],
        cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "600 cases, 0 failures" in result.stdout
