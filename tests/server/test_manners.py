"""Keys, limits, signals, clients that go away, runs that change."""

import json
import shutil
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

import textgru
from tests.server.conftest import SMALL
from tests.texts import sentences


def call(server, path, body=None, headers=None):
    sent = None if body is None else json.dumps(body).encode()
    kind = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(server.url + path, sent, {**kind, **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read(), dict(answer.getheaders())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def metric(server, name):
    lines = call(server, "/metrics")[1].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def begin(server, body):
    """A connection on which a completion has been asked for."""
    sent = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
    connection.sendall(b"POST /v1/completions HTTP/1.1\r\n" + head.encode() + sent)
    return connection


def wait_for(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


LONG = {"model": "char", "prompt": "The", "max_tokens": 20000, "seed": 1, "penalty_last_n": 200, "typical_p": 0.9}


def test_a_key_is_asked_for(runs, serve):
    server = serve(runs["char"], environment={"TEXTGRU_API_KEY": "a secret"})
    assert call(server, "/health")[0] == 200
    for headers in (
        {},
        {"Authorization": "Bearer a"},
        {"Authorization": "a secret"},
        {"Authorization": "Bearer a secrets"},
    ):
        status, body, _ = call(server, "/v1/models", headers=headers)
        assert status == 401
        assert json.loads(body)["error"]["code"] == "invalid_api_key"
    assert call(server, "/metrics")[0] == 401
    assert call(server, "/v1/models", headers={"Authorization": "Bearer a secret"})[0] == 200
    assert server.end() == 0
    assert "secret" not in server.log.read_text()


def test_prompts_are_not_in_the_log_unless_asked_for(runs, serve):
    for more, shown in (((), False), (("--log-prompts",), True)):
        server = serve(runs["char"], *more)
        call(server, "/v1/completions", {"prompt": "Zoë and the ferry", "max_tokens": 2})
        assert server.end() == 0
        assert ("Zo" in server.log.read_text()) == shown


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_its_place_at_once(serving, stream):
    assert metric(serving, "textgru_texts_active") == 0
    connection = begin(serving, {**LONG, "stream": stream, "n": 8})
    wait_for(lambda: metric(serving, "textgru_texts_active") == 8)
    left = metric(serving, "textgru_texts_left_total")
    connection.close()
    wait_for(lambda: metric(serving, "textgru_texts_active") == 0)  # 6 ms on a quiet machine; the texts take seconds
    assert metric(serving, "textgru_texts_left_total") == left + 8


def test_too_many_wait(runs, serve):
    server = serve(runs["char"], "--slots", 2, "--queue", 3)
    body = {"prompt": "The", "max_tokens": 16000, "typical_p": 0.9, "stream": True}
    held = [begin(server, body) for _ in range(5)]
    wait_for(lambda: metric(server, "textgru_texts_waiting") == 3)
    status, answer, headers = call(server, "/v1/completions", {"prompt": "The", "max_tokens": 1})
    assert status == 429
    assert int(headers["retry-after"]) >= 1
    assert json.loads(answer)["error"]["type"] == "rate_limit_error"
    held.pop().close()
    wait_for(lambda: metric(server, "textgru_texts_waiting") == 2)
    for one in held:
        one.close()
    wait_for(lambda: metric(server, "textgru_texts_active") == 0)
    assert call(server, "/v1/completions", {"prompt": "The", "max_tokens": 1})[0] == 200


def test_a_text_that_takes_too_long_ends_there(runs, serve):
    server = serve(runs["char"], "--max-seconds", 0.3)
    body = {"prompt": "The", "max_tokens": 16000, "typical_p": 0.9, "n": 60}
    began = time.monotonic()
    status, answer, _ = call(server, "/v1/completions", body)
    assert status == 200
    assert time.monotonic() - began < 5
    answer = json.loads(answer)
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"length"}
    assert answer["usage"]["completion_tokens"] < 60 * 16000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_goes_on_after_the_signal(runs, serve, number):
    server = serve(runs["char"], "--drain-seconds", 15)
    connection = begin(server, {**LONG, "max_tokens": 12000, "stream": True})
    answer = connection.recv(1000)
    ending = []
    thread = threading.Thread(target=lambda: ending.append(server.end(number)))
    thread.start()
    while part := connection.recv(1 << 16):
        answer += part
    thread.join()
    connection.close()
    assert b"data: [DONE]" in answer
    assert ending == [0]


def test_a_stream_that_takes_too_long_after_the_signal_is_ended(runs, serve):
    server = serve(runs["char"], "--drain-seconds", 1, "--max-tokens", 10**8)
    connection = begin(server, {**LONG, "max_tokens": 10**8, "stream": True})
    assert connection.recv(1000)
    began = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - began < 10
    connection.close()


def test_a_run_that_changes_is_loaded_again(runs, serve, tmp_path):
    run = tmp_path / "model"
    shutil.copytree(runs["char"], run)
    server = serve(run)
    body = {"prompt": "The", "max_tokens": 40, "temperature": 0}

    def written():
        return json.loads(call(server, "/v1/completions", body)[1])["choices"][0]["text"]

    first = written()
    assert "The" + first == textgru.load(run).generate("The", length=40, temperature=0)
    connection = begin(server, {**LONG, "model": "model", "max_tokens": 12000, "stream": True})
    (tmp_path / "other.txt").write_text(sentences(5000, seed=4).upper())
    textgru.train(tmp_path / "other.txt", run, overwrite=True, seed=3, **SMALL)
    changed = textgru.load(run)
    wait_for(lambda: "The" + written() == changed.generate("The", length=40, temperature=0))
    assert metric(server, "textgru_models_loaded_total") == 2
    answer = b""
    while b"[DONE]" not in answer:
        answer += connection.recv(1 << 16)  # the text that had begun goes on with the weights from before
    connection.close()

    (run / "config.json").write_text("{")
    time.sleep(1.1)  # it looks once a second
    assert "The" + written() == changed.generate("The", length=40, temperature=0)
    assert server.end() == 0
    assert "can't be loaded; the one before stays" in server.log.read_text()


def test_connections_on_which_no_request_comes_are_closed(runs, serve):
    server = serve(runs["char"], "--idle-seconds", 1)
    places = ("silent", "half", "begun", "body", "chunks")
    waiting = {name: socket.create_connection(("127.0.0.1", server.port), timeout=20) for name in places}
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    waiting["body"].sendall(head + b"Content-Length: 5000\r\n\r\n{")
    waiting["chunks"].sendall(head + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n{")
    begun = waiting["begun"]
    long = begin(server, {**LONG, "stream": True, "max_tokens": 16000, "n": 40})
    begun.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert begun.recv(1000).startswith(b"HTTP/1.1 200")
    ended = {}
    until = time.monotonic() + 10
    while len(ended) < len(waiting) and time.monotonic() < until:
        for name, connection in waiting.items():
            if name in ended:
                continue
            try:
                if name != "silent":
                    connection.sendall(b"G")  # a byte now and then, and never a whole request
                connection.settimeout(0.1)
                if connection.recv(1) == b"":
                    ended[name] = True
            except TimeoutError:
                pass
            except OSError:
                ended[name] = True
    assert ended.keys() == waiting.keys()
    answer = b""
    while part := long.recv(1 << 20):
        answer = (answer + part)[-100:]
        if b"[DONE]" in answer:
            break
    assert b"[DONE]" in answer, "one that is being answered goes on"
    for connection in (*waiting.values(), long):
        connection.close()


def test_a_page_of_one_origin_may_call(runs, serve):
    server = serve(runs["char"], "--cors-origin", "https://example.org")
    headers = call(server, "/v1/models", headers={"Origin": "https://example.org"})[2]
    assert headers["access-control-allow-origin"] == "https://example.org"
    headers = call(server, "/v1/models", headers={"Origin": "https://evil.example"})[2]
    assert "access-control-allow-origin" not in headers


def test_what_can_not_be_served_is_said_in_one_line(runs, serve, tmp_path):
    from click.testing import CliRunner

    from textgru.cli import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = [
            ([tmp_path / "none"], "no such run"),
            ([runs["char"], runs["char"]], "another run has the name char"),
            ([runs["char"], "--port", port], "can't be listened on"),
            ([runs["char"], "--host", "no.such.host.invalid"], "no address of this machine"),
            ([runs["char"], "--api-key", "schlüssel"], "ASCII"),
        ]
        for arguments, said in cases:
            result = CliRunner().invoke(main, ["serve", *map(str, arguments)])
            assert result.exit_code == 2
            assert said in result.stderr
            assert len(result.stderr.splitlines()) == 1
