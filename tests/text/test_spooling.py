"""What can be read only once is copied, and read no more than once."""

import io
import os
import socket
import sys
import threading

import pytest

import textgru.text.spooling
from textgru.errors import InputError, StorageError
from textgru.text.files import check_files, read_blocks
from textgru.text.spooling import check_source, spool


@pytest.fixture
def pipe(tmp_path):
    """Makes a named pipe, and a thread that writes to it once."""
    threads = []

    def make(name, data):
        path = tmp_path / name
        os.mkfifo(path)
        threads.append(threading.Thread(target=path.write_bytes, args=(data,), daemon=True))
        threads[-1].start()
        return path

    yield make
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def standard_input(monkeypatch):
    def be(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return be


def text(paths):
    return "".join(read_blocks(paths))


def test_a_pipe_is_read_once_however_often_it_is_named(pipe, tmp_path):
    file = tmp_path / "file.txt"
    file.write_text("file ")
    path = pipe("pipe", b"pipe ")
    check_files([path, file, path], "utf-8")  # which opens no pipe
    paths = spool([path, file, path], tmp_path)
    assert text(paths) == text(paths) == "pipe file pipe "
    assert paths[1] == file


def test_a_compressed_pipe(pipe, tmp_path):
    import gzip

    assert text(spool([pipe("pipe.txt.gz", gzip.compress(b"packed"))], tmp_path)) == "packed"


def test_messages_name_what_was_copied(pipe, standard_input, tmp_path):
    with pytest.raises(InputError, match=f"^{tmp_path}/pipe: not utf-8 text: byte 3"):
        text(spool([pipe("pipe", b"abc\xff")], tmp_path))
    standard_input(b"abc\xff")
    with pytest.raises(InputError, match="^standard input: not utf-8 text: byte 3"):
        text(spool(["-"], tmp_path))


def test_standard_input_twice_is_the_same_text_twice(standard_input, tmp_path):
    standard_input(b"text ")
    assert text(spool(["-", "-"], tmp_path)) == "text text "


def test_an_open_pipe_by_its_number(tmp_path):
    ends = os.pipe()
    os.write(ends[1], b"text")
    os.close(ends[1])
    try:
        path = f"/dev/fd/{ends[0]}"
        check_files([path], "utf-8")
        assert text(spool([path], tmp_path)) == "text"
    finally:
        os.close(ends[0])


@pytest.mark.parametrize("stream", [None, io.StringIO("text"), "closed"])
def test_standard_input_that_is_none(stream, tmp_path, monkeypatch):
    if stream == "closed":
        stream = io.TextIOWrapper(io.BytesIO())
        stream.close()
    monkeypatch.setattr(sys, "stdin", stream)
    with pytest.raises(InputError, match="standard input: is closed; give a file"):
        spool(["-"], tmp_path)


@pytest.mark.parametrize("device", ["zero", "full", "urandom", "null", "tty"])
def test_devices_are_refused(device):
    with pytest.raises(InputError, match=f"/dev/{device}: is a device, not a text"):
        check_files([f"/dev/{device}"], "utf-8")


def test_an_endless_device_as_standard_input_is_refused(tmp_path, monkeypatch):
    with open("/dev/zero") as stream:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", stream)
        with pytest.raises(InputError, match="standard input: is a device, not a text"):
            spool(["-"], tmp_path)
    with open(os.devnull) as stream:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", stream)
        assert text(spool(["-"], tmp_path)) == ""


def test_the_terminal_that_is_standard_input_is_read_to_its_end(tmp_path, monkeypatch):
    master, slave = os.openpty()
    with os.fdopen(slave) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        check_source(textgru.text.spooling.Path(os.ttyname(slave)))
        os.write(master, b"typed\n\x04")
        assert text(spool(["-"], tmp_path)) == "typed\n"
    os.close(master)


def test_a_socket_and_a_folder_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(InputError, match="socket: is a socket, not a text"):
            check_files(["socket"], "utf-8")
    with pytest.raises(InputError, match="is a folder"):
        check_files([tmp_path], "utf-8")


def test_no_room_for_a_copy(standard_input, tmp_path):
    standard_input(b"text")
    (tmp_path / "spooled-1").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="standard input: no copy of it can be made: No space left on device"):
        spool(["-"], tmp_path)
