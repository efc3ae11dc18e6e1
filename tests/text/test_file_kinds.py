"""Files that hold no text are named for what they are; text is left alone."""

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest
import zstandard
from safetensors.numpy import save

from tests.texts import MIXED, sentences
from textgru.text.file_kinds import kind_of, looks_binary

TEXT = sentences(5000)
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю.\n" * 20
CHINESE = "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。\n" * 20


def archive(make):
    buffer = io.BytesIO()
    make(buffer)
    return buffer.getvalue()


def tar(buffer):
    with tarfile.open(fileobj=buffer, mode="w") as file:
        entry = tarfile.TarInfo("a.txt")
        entry.size = len(TEXT)
        file.addfile(entry, io.BytesIO(TEXT.encode()))


def docx(buffer):
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("word/document.xml", TEXT)


def database():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table texts (text)")
    connection.commit()
    data = connection.serialize() if hasattr(connection, "serialize") else b"SQLite format 3\0" + bytes(80)
    connection.close()
    return data


OTHERS = {
    "gzip": gzip.compress(TEXT.encode()),
    "zstd": zstandard.compress(TEXT.encode()),
    ".xz": lzma.compress(TEXT.encode()),
    ".bz2": bz2.compress(TEXT.encode()),
    ".zip": archive(docx),
    ".tar": archive(tar),
    "PDF": b"%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj\n",
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "GIF": b"GIF89a\x10\0\x10\0",
    "SQLite": database(),
    "NumPy": archive(lambda buffer: np.save(buffer, np.arange(9))),
    "safetensors": save({"weights": np.zeros(4, np.float32)}),
    "program": b"\x7fELF\x02\x01\x01\0",
}


@pytest.mark.parametrize(("what", "data"), OTHERS.items(), ids=list(OTHERS))
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le"])
def test_what_is_no_text_is_named_in_any_encoding(what, data, encoding):
    kind = kind_of(data, encoding)
    assert kind is not None
    assert what in kind
    assert "not text" in kind


@pytest.mark.parametrize("text", [TEXT, RUSSIAN, CHINESE, "hi"], ids=["English", "Russian", "Chinese", "short"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_utf_16_and_32_are_told_with_and_without_a_mark(text, encoding):
    family = encoding[:6]
    for data, wanted in ((text.encode(encoding), encoding), (("\ufeff" + text).encode(encoding), family)):
        for expected in ("utf-8", "latin-1"):
            kind = kind_of(data, expected)
            assert kind is not None
            assert kind.endswith(f"--encoding {wanted}")
        assert kind_of(data, encoding) is None
    assert kind_of(("\ufeff" + text).encode(encoding), family) is None


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        RUSSIAN.encode(),
        RUSSIAN.encode("cp1251"),
        CHINESE.encode(),
        CHINESE.encode("gb18030"),
        MIXED.encode(),
        b"",
        b"a",
        b"a\0",
        b"word\0" * 2000,
        b"\0" * 100,
        b"\x1e".join(TEXT.encode().split()),
        b"MZ was the mark, GIF89a the picture, PK\x03 the rest",
        b"Rar! she cried.",
        b"{\\rtf1 rich text}",
        b"<!DOCTYPE html><p>a page</p>",
        "caf\xe9 ".encode("latin-1") * 500,
    ],
)
def test_texts_are_texts(data):
    assert kind_of(data, "utf-8") is None


def test_binary_data_is_told_by_its_control_characters():
    assert looks_binary(np.random.default_rng(0).bytes(4096))
    assert not looks_binary("naïve café\n".encode("latin-1") * 10)
    assert not looks_binary(b"")
