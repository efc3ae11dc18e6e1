"""fetch against a server on this machine: what it puts in place, and that a failure leaves nothing behind."""

import hashlib
import io
import os
import resource
import socket
import threading
import tracemalloc
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from textgru import corpora
from textgru.errors import InputError, TextgruError

TEXT = "Once upon a time there was a corpus — naïve, but true.\n".encode() * 5000  # more than one block
MANY = 50_000_000  # far more than what lies in the buffers between two programs


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def zipped(*members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self)
        with self.server.lock:
            answer = self.server.answers.get(self.path)
        if answer is None:
            self.send_error(404)
        elif callable(answer):
            answer(self)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        httpd.handle_error = lambda *args: None  # the client hangs up in some of the tests
        httpd.lock, httpd.answers, httpd.requests = threading.Lock(), {"/text": TEXT}, []
        httpd.released = threading.Event()  # what a silent answer waits for
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield httpd
        httpd.released.set()
        httpd.shutdown()
        thread.join()


@pytest.fixture
def corpus(server):
    return corpora.Corpus(
        "test", "Test", "A test.", "en", "CC0-1.0", "test.txt",
        url=f"http://127.0.0.1:{server.server_port}/text", size=len(TEXT), sha256=sha256(TEXT),
    )  # fmt: skip


def unannounced(data):
    """An answer without a Content-Length: it ends when the connection does."""

    def answer(request):
        request.send_response(200)
        request.end_headers()
        request.wfile.write(data)

    return answer


def fails(kind, corpus, folder, **options):
    """The one line fetch fails with, after which the folder must be as it was before."""
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(kind) as caught:
        corpora.fetch(corpus, folder, **options)
    assert caught.type is kind
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_text_is_put_in_the_folder(corpus, tmp_path):
    file = corpora.fetch(corpus, tmp_path)
    assert file == tmp_path / "test.txt"
    assert file.read_bytes() == TEXT
    assert names(tmp_path) == ["test.txt"]


def test_the_folder_is_the_current_one_if_none_is_given(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpora.fetch(corpus)
    assert (tmp_path / "test.txt").read_bytes() == TEXT


def test_the_file_has_the_permissions_of_any_new_file(corpus, tmp_path):
    (tmp_path / "other").touch()
    assert corpora.fetch(corpus, tmp_path).stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_name_is_looked_up_in_the_catalogue(tmp_path):
    assert "no corpus of that name" in fails(InputError, "nothing-like-it", tmp_path)


def test_progress_goes_up_to_the_size(corpus, tmp_path):
    calls = []
    corpora.fetch(corpus, tmp_path, progress=lambda done, total: calls.append((done, total)))
    done = [call[0] for call in calls]
    assert done == sorted(set(done))
    assert (done[0], done[-1]) == (0, len(TEXT))
    assert len(done) > 3
    assert {call[1] for call in calls} == {len(TEXT)}


@pytest.mark.parametrize(("announced", "total"), [(True, len(TEXT)), (False, None)])
def test_the_size_in_progress_without_one_in_the_catalogue_is_the_servers(server, corpus, tmp_path, announced, total):
    if not announced:
        server.answers["/text"] = unannounced(TEXT)
    totals = set()
    corpora.fetch(replace(corpus, size=None), tmp_path, progress=lambda done, total: totals.add(total))
    assert totals == {total}


def test_what_the_catalogue_does_not_know_is_not_checked(server, corpus, tmp_path):
    server.answers["/text"] = unannounced(b"a later edition")
    assert corpora.fetch(replace(corpus, size=None, sha256=None), tmp_path).read_bytes() == b"a later edition"


def test_a_wrong_hash_is_told_with_the_right_one(server, corpus, tmp_path):
    other = bytes(reversed(TEXT))
    server.answers["/text"] = other
    message = fails(TextgruError, corpus, tmp_path)
    assert f"expected {sha256(TEXT)}" in message
    assert f"got {sha256(other)}" in message


def test_the_hash_is_checked_without_a_size_too(server, corpus, tmp_path):
    server.answers["/text"] = TEXT[:-1]
    assert "wrong SHA-256" in fails(TextgruError, replace(corpus, size=None), tmp_path)


@pytest.mark.parametrize("data", [TEXT[:-1], TEXT + b"x", b""], ids=["shorter", "longer", "empty"])
@pytest.mark.parametrize("answer", [bytes, unannounced], ids=["announced", "unannounced"])
def test_a_wrong_size(server, corpus, tmp_path, answer, data):
    server.answers["/text"] = answer(data)
    message = fails(TextgruError, replace(corpus, sha256=None), tmp_path)
    assert "wrong size" in message
    assert f"expected {len(TEXT):,} bytes" in message


@pytest.mark.parametrize("answer", [bytes, unannounced], ids=["announced", "unannounced"])
def test_an_empty_answer_is_never_the_text(server, corpus, tmp_path, answer):
    server.answers["/text"] = answer(b"")
    assert "got 0" in fails(TextgruError, replace(corpus, size=None, sha256=None), tmp_path)


def test_nothing_is_downloaded_if_the_announced_size_is_wrong(server, corpus, tmp_path):
    server.answers["/text"] = TEXT + b"x"
    calls = []
    fails(TextgruError, corpus, tmp_path, progress=lambda *call: calls.append(call))
    assert calls == []


def test_a_download_that_does_not_end_is_stopped_at_the_size(server, corpus, tmp_path):
    sent = 0
    hung_up = threading.Event()

    def endless(request):
        nonlocal sent
        request.send_response(200)
        request.end_headers()
        try:
            while sent < MANY:
                sent += request.wfile.write(TEXT)
        except OSError:
            hung_up.set()

    server.answers["/text"] = endless
    assert "sends more" in fails(TextgruError, corpus, tmp_path)
    assert hung_up.wait(10)
    assert sent < MANY


@pytest.mark.parametrize("size", [len(TEXT), None], ids=["known", "unknown"])
def test_a_connection_that_breaks_off(server, corpus, tmp_path, size):
    def truncated(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(TEXT)))
        request.end_headers()
        request.wfile.write(TEXT[:100_000])

    server.answers["/text"] = truncated
    message = fails(TextgruError, replace(corpus, size=size, sha256=None), tmp_path)
    assert "wrong size" in message or "broke" in message
    assert "try again" in message


def test_a_connection_that_is_reset(server, corpus, tmp_path):
    def reset(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(TEXT)))
        request.end_headers()
        request.wfile.write(TEXT[:100])
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        request.connection.close()

    server.answers["/text"] = reset
    assert "broke" in fails(TextgruError, corpus, tmp_path)


def test_an_answer_that_is_not_http(server, corpus, tmp_path):
    server.answers["/text"] = lambda request: request.wfile.write(b"220 welcome\r\n")
    assert "broke" in fails(TextgruError, corpus, tmp_path)


def test_a_silent_server(server, corpus, tmp_path):
    def silent(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(TEXT)))
        request.end_headers()
        request.wfile.write(TEXT[:100])
        server.released.wait(30)

    server.answers["/text"] = silent
    assert "timed out" in fails(TextgruError, corpus, tmp_path, timeout=0.2)


def test_a_page_that_does_not_exist(corpus, tmp_path):
    message = fails(TextgruError, replace(corpus, url=corpus.url + "-gone"), tmp_path)
    assert "HTTP status 404" in message
    assert corpus.url + "-gone" in message


def test_a_redirection_is_followed(server, corpus, tmp_path):
    def elsewhere(request):
        request.send_response(302)
        request.send_header("Location", "/text")
        request.end_headers()

    server.answers["/old"] = elsewhere
    assert corpora.fetch(replace(corpus, url=corpus.url.replace("/text", "/old")), tmp_path).read_bytes() == TEXT


def test_a_refused_connection(corpus, tmp_path):
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/text"
        message = fails(TextgruError, replace(corpus, url=url), tmp_path)
    assert "can't connect" in message
    assert url in message


@pytest.mark.parametrize("scheme", ["file", "ftp"])
def test_only_web_addresses_are_opened(corpus, tmp_path, scheme):
    assert "not an http" in fails(InputError, replace(corpus, url=f"{scheme}:///etc/hostname"), tmp_path)


def zip_corpus(server, corpus, data, member="folder/text"):
    server.answers["/text"] = data
    return replace(corpus, member=member, size=len(data), sha256=sha256(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_member_of_a_zip(server, corpus, tmp_path, method):
    data = zipped(("readme", "other"), ("folder/text", TEXT), ("text", "other"), method=method)
    file = corpora.fetch(zip_corpus(server, corpus, data), tmp_path)
    assert file == tmp_path / "test.txt"
    assert file.read_bytes() == TEXT
    assert names(tmp_path) == ["test.txt"]


def test_the_names_in_a_zip_are_never_paths(server, corpus, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    data = zipped(("../escaped", TEXT))
    corpora.fetch(zip_corpus(server, corpus, data, "../escaped"), folder)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["folder", "test.txt"]


def test_download_and_extraction_take_little_memory(server, corpus, tmp_path):
    data = zipped(("text", b"\0" * MANY), method=zipfile.ZIP_DEFLATED)
    entry = zip_corpus(server, corpus, data, "text")
    tracemalloc.start()
    try:
        file = corpora.fetch(entry, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert file.stat().st_size == MANY
    assert peak < 5_000_000


def test_a_zip_without_the_member(server, corpus, tmp_path):
    entry = zip_corpus(server, corpus, zipped(("other", TEXT)))
    assert fails(TextgruError, entry, tmp_path) == "test: the downloaded .zip has no folder/text in it"


def test_a_download_that_is_no_zip(server, corpus, tmp_path):
    assert "broken" in fails(TextgruError, zip_corpus(server, corpus, TEXT), tmp_path)


def test_a_zip_with_damage(server, corpus, tmp_path):
    good = zipped(("folder/text", os.urandom(3000)))
    messages = set()
    for position in range(0, len(good), 7):
        data = good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :]
        entry = zip_corpus(server, corpus, data)
        try:
            corpora.fetch(entry, tmp_path)
        except TextgruError as error:
            messages.add(str(error).split(":")[1])
            assert names(tmp_path) == []
        else:  # a byte that nobody reads, a date for one
            (tmp_path / "test.txt").unlink()
    assert " the downloaded .zip is broken" in messages


@pytest.mark.parametrize("included", [False, True])
def test_an_existing_file_is_not_overwritten(corpus, tmp_path, included):
    name = "ostrey.txt" if included else "test.txt"
    (tmp_path / name).write_text("mine")
    message = fails(InputError, "ostrey" if included else corpus, tmp_path)
    assert f"{name}: exists already" in message
    assert "--overwrite" in message


def test_nothing_is_asked_of_the_server_if_the_file_exists(server, corpus, tmp_path):
    (tmp_path / "test.txt").write_text("mine")
    fails(InputError, corpus, tmp_path)
    assert server.requests == []


def test_a_file_that_appears_during_the_download_is_not_overwritten(corpus, tmp_path):
    with pytest.raises(InputError, match="exists already"):
        corpora.fetch(corpus, tmp_path, progress=lambda done, total: (tmp_path / "test.txt").write_text("mine"))
    assert (tmp_path / "test.txt").read_text() == "mine"
    assert names(tmp_path) == ["test.txt"]


def test_an_existing_file_is_overwritten_if_told(corpus, tmp_path):
    (tmp_path / "test.txt").write_text("mine")
    assert corpora.fetch(corpus, tmp_path, overwrite=True).read_bytes() == TEXT
    assert names(tmp_path) == ["test.txt"]


def test_an_existing_file_survives_a_failed_overwrite(server, corpus, tmp_path):
    (tmp_path / "test.txt").write_text("mine")
    server.answers["/text"] = bytes(reversed(TEXT))
    fails(TextgruError, corpus, tmp_path, overwrite=True)
    assert (tmp_path / "test.txt").read_text() == "mine"


def test_an_existing_file_stays_until_the_new_one_is_complete(corpus, tmp_path):
    (tmp_path / "test.txt").write_text("mine")
    seen = set()
    corpora.fetch(
        corpus, tmp_path, overwrite=True, progress=lambda *call: seen.add((tmp_path / "test.txt").read_bytes())
    )
    assert seen == {b"mine"}


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
@pytest.mark.parametrize("when", [0, 1, len(TEXT)])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interruption_leaves_nothing(corpus, tmp_path, exception, when, overwrite):
    if overwrite:
        (tmp_path / "test.txt").write_text("mine")
    during = []

    def interrupt(done, total):
        if done >= when:
            during.extend(names(tmp_path))
            raise exception

    fails(exception, corpus, tmp_path, overwrite=overwrite, progress=interrupt)
    assert len(set(during) - {"test.txt"}) == 1, "the partial file would have been in the folder"


def test_an_interruption_of_a_copy_leaves_nothing(tmp_path):
    def interrupt(done, total):
        if done:
            raise KeyboardInterrupt

    fails(KeyboardInterrupt, "ostrey", tmp_path, progress=interrupt)


def test_the_included_corpus_is_copied(tmp_path):
    calls = []
    file = corpora.fetch("ostrey", tmp_path, progress=lambda *call: calls.append(call))
    assert file == tmp_path / "ostrey.txt"
    assert file.read_bytes() == corpora.path("ostrey").read_bytes()
    size = file.stat().st_size
    assert (calls[0], calls[-1]) == ((0, size), (size, size))
    assert names(tmp_path) == ["ostrey.txt"]


def test_a_folder_that_is_missing(corpus, tmp_path):
    with pytest.raises(InputError, match=r"missing: no such folder"):
        corpora.fetch(corpus, tmp_path / "missing")
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file(corpus, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: is not a folder"):
        corpora.fetch(corpus, tmp_path / "file")


@pytest.mark.parametrize("folder", ["", None, b"folder", 5, "a" * 300, "a\0b", "a\nb"])
def test_folders_that_are_none_or_have_odd_names(corpus, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        corpora.fetch(corpus, folder)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", [None, 5, b"ostrey", ["ostrey"], "", "a\nb", "\udce9"])
def test_names_that_no_corpus_has(name, tmp_path):
    for call in (corpora.get, corpora.path, lambda name: corpora.fetch(name, tmp_path)):
        with pytest.raises(InputError, match="no corpus of that name|corpus: expected a name, got") as caught:
            call(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_in_the_place_of_the_file(corpus, tmp_path, overwrite):
    (tmp_path / "test.txt").mkdir()
    with pytest.raises(InputError, match=r"test\.txt: is a folder"):
        corpora.fetch(corpus, tmp_path, overwrite=overwrite)
    assert names(tmp_path) == ["test.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(corpus, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="can't be written: Permission denied"):
            corpora.fetch(corpus, tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_takes_no_such_file(server, corpus, tmp_path):
    message = fails(InputError, replace(corpus, file="x" * 250), tmp_path)  # with what a partial file is called, > 255
    assert f"{tmp_path}: can't be written" in message
    assert server.requests == []


@pytest.mark.parametrize(
    ("data", "member", "limit"),
    [
        (TEXT, None, 100_001),
        (TEXT[:3000], None, 1000),  # less than what a file collects before it writes
        (zipped(("text", os.urandom(3000))), "text", 1000),
        (zipped(("text", b"a" * 3000)), "text", 1000),
        (zipped(("text", b"a" * 500_000)), "text", 100_001),
    ],
    ids=["text", "short text", "zip", "short member", "member"],
)
def test_a_full_disk(server, corpus, tmp_path, data, member, limit):
    server.answers["/text"] = data
    entry = replace(corpus, member=member, size=len(data), sha256=sha256(data))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        message = fails(TextgruError, entry, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "test.txt: can't be written: File too large" in message
