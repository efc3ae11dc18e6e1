"""textgru corpora, through the command object; what needs a terminal runs on a pseudo-terminal."""

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module

import pytest
from click.testing import CliRunner

from textgru import corpora
from textgru.cli.corpora import corpora as command
from textgru.errors import InputError, TextgruError

TEXT = b"Once upon a time there was a corpus.\n" * 5000
RUN = "import sys; from textgru.cli.corpora import corpora; corpora(sys.argv[1:], prog_name='corpora')"


def run(*arguments):
    return CliRunner().invoke(command, arguments)


def on_a_terminal(*arguments, stream):
    """Runs the command with a terminal of 160 columns as this stream; what the terminal shows, and the other stream."""
    ours, theirs = pty.openpty()
    others = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: theirs}
    environment = {**os.environ, "COLUMNS": "160", "TERM": "xterm", "no_proxy": "*"}
    process = subprocess.Popen([sys.executable, "-c", RUN, *arguments], env=environment, **others)
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # the end, on Linux
        pass
    finally:
        os.close(ours)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    return shown.decode(), (out or err or b"").decode()


@pytest.fixture
def corpus(monkeypatch):
    """A corpus on a server of this machine, in the catalogue."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(TEXT)

        def log_message(self, *args):
            pass

    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{httpd.server_port}/"
        entry = corpora.Corpus("test", "Test", "A test.", "en", "CC0-1.0", "test.txt", url, len(TEXT))
        entries = import_module("textgru.corpora.catalogue")._entries()
        monkeypatch.setitem(entries, "test", entry)
        yield entry
        httpd.shutdown()
        thread.join()


def test_list_has_a_line_for_every_corpus_the_included_one_first():
    result = run("list")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines] == [corpus.name for corpus in corpora.catalogue()]
    assert lines[0].split()[:2] == ["ostrey", "included"]
    for line, corpus in zip(lines, corpora.catalogue(), strict=True):
        assert line.endswith(corpus.title)
        assert corpus.licence in line


def test_list_tells_the_size_of_the_download():
    lines = dict(line.split(maxsplit=1) for line in run("list").output.splitlines())
    assert lines["tiny-shakespeare"].startswith("1.1 MB ")
    assert lines["text8"].startswith("31.3 MB ")
    for corpus in corpora.catalogue():
        assert lines[corpus.name].startswith("unknown ") == (corpus.size is None and not corpus.included)


def test_list_in_columns():
    lines = run("list").output.splitlines()
    column = len(lines[0]) - len(corpora.catalogue()[0].title)
    assert [line[column:] for line in lines] == [corpus.title for corpus in corpora.catalogue()]
    assert {line[column - 2 : column] for line in lines} == {"  "}


def test_list_as_json_is_the_catalogue():
    result = run("list", "--json")
    assert result.exit_code == 0
    assert json.loads(result.output) == [asdict(corpus) for corpus in corpora.catalogue()]


def test_list_on_a_terminal_is_a_table_with_everything_in_it():
    shown, errors = on_a_terminal("list", stream="stdout")
    assert errors == ""
    assert "Name" in shown
    assert "Licence" in shown
    places = [shown.index(corpus.name) for corpus in corpora.catalogue()]
    assert places[0] == min(places)
    for corpus in corpora.catalogue():
        assert corpus.title in shown


def test_fetch_puts_the_text_there_and_prints_where(corpus, tmp_path):
    result = run("fetch", "test", "--out", str(tmp_path))
    assert result.exit_code == 0
    assert result.output == f"{tmp_path / 'test.txt'}\n"
    assert (tmp_path / "test.txt").read_bytes() == TEXT


def test_fetch_to_the_current_folder(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("fetch", "test").output == "test.txt\n"
    assert (tmp_path / "test.txt").read_bytes() == TEXT


def test_fetch_overwrites_only_if_told(corpus, tmp_path):
    (tmp_path / "test.txt").write_text("mine")
    error = run("fetch", "test", "--out", str(tmp_path)).exception
    assert type(error) is InputError
    assert "exists already" in str(error)
    assert (tmp_path / "test.txt").read_text() == "mine"
    assert run("fetch", "test", "--out", str(tmp_path), "--overwrite").exit_code == 0
    assert (tmp_path / "test.txt").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["fetch", "nothing-like-it"], 2),
        (["fetch", "test", "--out", "missing"], 2),
        (["path", "nothing-like-it"], 2),
        (["path", "text8"], 2),
    ],
)
def test_the_users_mistakes_have_exit_code_2(corpus, tmp_path, monkeypatch, arguments, code):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TextgruError) as caught:
        command(arguments, standalone_mode=False)
    assert caught.value.exit_code == code


def test_a_wrong_download_has_exit_code_1(corpus, tmp_path, monkeypatch):
    entries = import_module("textgru.corpora.catalogue")._entries()
    monkeypatch.setitem(entries, "test", replace(corpus, sha256=hashlib.sha256(b"").hexdigest()))
    with pytest.raises(TextgruError, match="wrong SHA-256") as caught:
        command(["fetch", "test", "--out", str(tmp_path)], standalone_mode=False)
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_fetch_shows_a_bar_if_standard_error_is_a_terminal(tmp_path):
    shown, printed = on_a_terminal("fetch", "ostrey", "--out", str(tmp_path), stream="stderr")
    assert "ostrey" in shown
    assert "━" in shown
    assert re.search(r"(\d+\.\d)/\1 kB", shown), "all of the bytes"
    assert printed == f"{tmp_path / 'ostrey.txt'}\n"


def test_path_prints_where_the_included_corpus_is():
    assert run("path", "ostrey").output == f"{corpora.path('ostrey')}\n"


@pytest.mark.parametrize("arguments", [[], ["list"], ["fetch"], ["path"]])
def test_everything_has_help(arguments):
    result = run(*arguments, "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")


def test_the_commands_import_nothing_that_is_slow():
    code = "import sys, textgru.cli.corpora; print({'rich', 'urllib.request', 'textgru.corpora'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
