"""What a file that is written whole or not at all does to what stands there already."""

import os
import pty
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from textgru.atomic_files import standing_stream, write_atomically
from textgru.errors import StorageError


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old, and longer")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_device_is_written_to_and_stays():
    reader, writer = pty.openpty()
    path = Path(os.ttyname(writer))
    write_atomically(path, b"written")
    assert os.read(reader, 100) == b"written"
    assert path.is_char_device()
    os.close(reader)
    os.close(writer)


def test_a_link_to_a_device_is_written_through(tmp_path):
    reader, writer = pty.openpty()
    link = tmp_path / "terminal"
    link.symlink_to(os.ttyname(writer))
    write_atomically(link, b"written")
    assert os.read(reader, 100) == b"written"
    assert link.is_symlink()
    os.close(reader)
    os.close(writer)


def test_a_pipe_is_written_to_and_stays(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    found = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    write_atomically(path, b"written")
    reader.join()
    assert found == [b"written"]
    assert path.is_fifo()


@pytest.mark.parametrize("mode", ["w", "a"])
def test_standard_output_by_its_name_goes_on_where_it_is(tmp_path, mode):
    log = tmp_path / "log"
    log.write_text("before\n")
    code = """if True:
        from pathlib import Path
        from textgru.atomic_files import write_atomically
        print("first", flush=True)
        write_atomically(Path("/dev/stdout"), b"second\\n")
        print("third")
    """
    with log.open(mode) as stream:
        subprocess.run([sys.executable, "-c", code], stdout=stream, check=True)
    assert log.read_text() == ("before\n" if mode == "a" else "") + "first\nsecond\nthird\n"
    assert os.listdir(tmp_path) == ["log"]


def test_a_disk_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "disk"
    path.touch()
    monkeypatch.setattr(stat, "S_ISBLK", lambda mode: True)  # only the root user could make one
    with pytest.raises(StorageError, match="disk: can't be written: it is a disk, not a file"):
        standing_stream(path)
