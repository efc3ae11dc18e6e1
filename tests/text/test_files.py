"""Which files, and their text."""

import gzip
import hashlib
import io
import sys

import pytest
import zstandard

import textgru
import textgru.text.files
from textgru.errors import InputError
from textgru.text.files import check_files, find_files, normalise, read_blocks, spool_standard_input


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(textgru.text.files, "BLOCK_BYTES", 5)


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.usefixtures("small_blocks")
def test_files_are_joined_and_newlines_and_marks_normalised(tmp_path):
    first = write(tmp_path / "a", b"\xef\xbb\xbfone\r\ntwo\rthree \xe2\x82\xac\r\n")
    second = write(tmp_path / "b", "\ufefffour\n\ufeff🙂")
    assert "".join(read_blocks([first, second])) == "one\ntwo\nthree €\nfour\n🙂"


def test_marks_between_files_that_were_put_together_are_dropped(tmp_path):
    file = b"\xef\xbb\xbfA line.\nno end"
    assert "".join(read_blocks([write(tmp_path / "a", file * 2)])) == "A line.\nno end" * 2
    wide = "one ".encode("utf-16")
    assert "".join(read_blocks([write(tmp_path / "b", wide * 2)], "utf-16")) == "one one "


def test_a_text_is_normalised_as_files_are(tmp_path):
    text = "\ufeffone\r\ntwo\rthree\n\r\n\ufeff"
    assert normalise(text) == "".join(read_blocks([write(tmp_path / "a", text)])) == "one\ntwo\nthree\n\n"
    for other in (None, b"text", 5):
        with pytest.raises(InputError, match="text: expected a str, got"):
            normalise(other)


def test_each_file_is_hashed_as_it_is_read(tmp_path):
    contents = {
        "a.txt": b"caf\xc3\xa9\r\n" * 50_000, "b.txt.gz": gzip.compress(b"text"), "c": b"",
        "d.zst": zstandard.compress(b"text" * 100_000),
    }  # fmt: skip
    files = [write(tmp_path / name, data) for name, data in contents.items()]
    hashes = []
    for _ in read_blocks(files, on_hash=hashes.append):
        pass
    assert hashes == [hashlib.sha256(data).hexdigest() for data in contents.values()]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("data", "offset"), [(b"\xff", 0), (b"abcd\xff", 4), (b"0123456789\xe2\x82x", 10), (b"01234567\xe2", 8)]
)
def test_bytes_that_are_no_utf8_are_named_by_offset(data, offset, tmp_path):
    file = write(tmp_path / "bad.txt", data)
    with pytest.raises(InputError, match=rf"bad\.txt: not utf-8 text: byte {offset} .*--encoding"):
        list(read_blocks([file]))


def test_other_encodings(tmp_path):
    assert "".join(read_blocks([write(tmp_path / "a", b"caf\xe9")], "latin-1")) == "café"
    assert "".join(read_blocks([write(tmp_path / "b", "日本".encode("utf-16"))], "utf-16")) == "日本"


def test_files_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(InputError, match="none: no such file"):
        check_files([tmp_path / "none"], "utf-8")
    with pytest.raises(InputError, match="'utf-9' is not known"):
        check_files([tmp_path], "utf-9")
    with pytest.raises(InputError, match="no text file given"):
        check_files([], "utf-8")


def test_standard_input_is_spooled(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hello\xff")))
    spool_standard_input(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"hello\xff"


@pytest.mark.usefixtures("small_blocks")
def test_compressed_files(tmp_path):
    text = "one\r\ntwo €\n" * 50
    packed = write(tmp_path / "a.txt.gz", gzip.compress(text.encode()) + gzip.compress(b"more"))
    frames = zstandard.compress(text.encode()) + zstandard.compress(b"more")
    other = write(tmp_path / "b.txt.zst", frames)
    for file in (packed, other):
        assert "".join(read_blocks([file])) == text.replace("\r\n", "\n") + "more"


def test_damaged_compressed_files_are_named(tmp_path):
    text = bytes(range(32, 127)) * 500
    for name, data, message in (
        ("a.gz", b"no gzip at all", r"a\.gz: damaged gzip file"),
        ("b.gz", gzip.compress(text)[:-20], r"b\.gz: damaged gzip file"),
        ("c.gz", gzip.compress(text)[:20] + b"\xff" * 100, r"c\.gz: damaged gzip file"),
        ("d.zst", b"no zstd at all", r"d\.zst: damaged zstd file"),
        ("f.zst", zstandard.compress(text)[:-1], r"f\.zst: damaged zstd file: it ends in the middle"),
        ("g.zst", zstandard.compress(text) + b"garbage", r"g\.zst: damaged zstd file"),
        ("h.gz", gzip.compress(text) + b"garbage", r"h\.gz: damaged gzip file"),
        ("i.txt.gz", gzip.compress(gzip.compress(text)), r"i\.txt\.gz: a gzip file, not text"),
        ("j.ZST", zstandard.compress(text)[:9], r"j\.ZST: damaged zstd file: it ends in the middle"),
        ("e.gz", gzip.compress(b"abc\xff"), r"e\.gz: not utf-8 text: byte 3"),
    ):
        file = write(tmp_path / name, data)
        with pytest.raises(InputError, match=message):
            list(read_blocks([file]))


def test_compressed_files_of_nothing_are_empty(tmp_path):
    for name, data in (("a.gz", b""), ("b.gz", gzip.compress(b"")), ("c.zst", b""), ("d.zst", zstandard.compress(b""))):
        assert "".join(read_blocks([write(tmp_path / name, data)])) == ""


def test_zst_without_the_library_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(InputError, match=r"needs the zstandard package \(pip install zstandard\)"):
        list(read_blocks([write(tmp_path / "a.zst", b"")]))


def test_directories_and_patterns(tmp_path, monkeypatch):
    for name in ("b.txt", "a.txt", "deep/er/c.txt", "d.txt.gz", "picture.png", "e.md", "f.txt.zst"):
        write(tmp_path / name, b"")

    def found(*names):
        return [file.relative_to(tmp_path).as_posix() for file in find_files(names)]

    assert found(tmp_path) == ["a.txt", "b.txt", "d.txt.gz", "deep/er/c.txt", "f.txt.zst"]
    assert found(tmp_path / "*.txt") == ["a.txt", "b.txt"]
    assert found(tmp_path / "**" / "*.txt") == ["a.txt", "b.txt", "deep/er/c.txt"]
    assert found(tmp_path / "e.md", tmp_path / "deep", tmp_path / "a.txt") == ["e.md", "deep/er/c.txt", "a.txt"]
    write(tmp_path / "odd[1].txt", b"")
    assert found(tmp_path / "odd[1].txt") == ["odd[1].txt"], "a file of that name comes first"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no text file \(.txt, .txt.gz, .txt.zst\) in it"):
        find_files([tmp_path / "empty"])
    with pytest.raises(InputError, match=r"\*\.rtf: matches no file"):
        find_files([tmp_path / "*.rtf"])


def test_a_directory_is_trained_on_as_its_files_one_after_the_other(tmp_path):
    text = "The ferry crossed the river.\n" * 100
    write(tmp_path / "texts" / "1.txt", text)
    write(tmp_path / "texts" / "2.txt.gz", gzip.compress(text.upper().encode()))
    write(tmp_path / "whole.txt", text + text.upper())
    settings = {"max_steps": 2, "batch_size": 4, "seq_length": 8, "hidden_size": 8}
    models = [textgru.train(tmp_path / name, tmp_path / f"run-{name}", **settings) for name in ("texts", "whole.txt")]
    assert models[0].network.parameters.values.tobytes() == models[1].network.parameters.values.tobytes()
    files = models[0].run.config["corpus"]["files"]
    assert files == [str(tmp_path / "texts" / name) for name in ("1.txt", "2.txt.gz")]
