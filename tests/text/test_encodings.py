"""Any of Python's encodings either reads a file or is refused in one line."""

import contextlib
import encodings
import pkgutil
import random

import pytest

import textgru.text.files
from textgru.errors import InputError
from textgru.text.encodings import check_encoding
from textgru.text.files import read_blocks

EVERY = sorted(module.name for module in pkgutil.iter_modules(encodings.__path__))
NO_ENCODINGS_OF_FILES = (
    "base64 bz2 hex idna punycode quopri raw_unicode_escape rot13 undefined unicode_escape uu zlib".split()
)


def read(data, tmp_path, encoding="utf-8"):
    file = tmp_path / "text.txt"
    file.write_bytes(data)
    return "".join(read_blocks([file], encoding))


@pytest.mark.parametrize("encoding", NO_ENCODINGS_OF_FILES)
def test_codecs_that_are_no_encodings_of_files(encoding):
    with pytest.raises(InputError, match=f"encoding: '{encoding}' is not one of text files; try utf-8"):
        check_encoding(encoding)


@pytest.mark.parametrize("encoding", ["", "utf-9", "a\0b", "\udce9", "x" * 5000, "..", None, 8, b"utf-8"])
def test_what_no_codec_is_called(encoding):
    with pytest.raises(InputError, match="is not known"):
        check_encoding(encoding)


def test_every_codec_reads_or_refuses_odd_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(textgru.text.files, "BLOCK_BYTES", 3)
    rng = random.Random(0)
    data = [
        b"plain\n",
        "é日本\n".encode(),
        b"\xff\xfea",
        b"\x1b$B",
        b"~{",
        b"+2AA-",
        b"\\ud800",
        b"\x81",
        b"",
        rng.randbytes(99),
    ]
    data += [bytes(rng.choices(b"\x1b$B~{}+-\xff\xfe\0\x81\xa1ab\\u\r\n", k=rng.randrange(30))) for _ in range(5)]
    readable = set()
    for encoding in EVERY:
        for content in data:
            with contextlib.suppress(InputError):
                read(content, tmp_path, encoding).encode("utf-8")
                readable.add(encoding)
    assert {"utf_8", "utf_7", "shift_jis", "gb18030", "hz", "iso2022_jp", "cp1252", "utf_8_sig"} <= readable
    assert not readable & set(NO_ENCODINGS_OF_FILES)


def test_utf_16_for_what_is_utf_8(tmp_path):
    with pytest.raises(InputError, match=r"text\.txt: not utf-16 text: .*; it looks like --encoding utf-8"):
        read(b"The ferry crossed the river.\n", tmp_path, "utf-16")
    with pytest.raises(InputError, match=r"not ascii text: byte 4 .*; it looks like --encoding utf-8"):
        read("two é\n".encode(), tmp_path, "ascii")


@pytest.mark.parametrize("block", [3, 1 << 20])
def test_offsets_count_from_the_start_of_the_file(block, tmp_path, monkeypatch):
    monkeypatch.setattr(textgru.text.files, "BLOCK_BYTES", block)
    for data, encoding, offset in (
        (b"\xef\xbb\xbfabcd\xff", "utf-8-sig", 7),
        ("\ufeffabc".encode("utf-16") + b"\0\xd8", "utf-16", 10),
        (b"ab\x82", "shift_jis", 2),
        (b"abc\x81d", "cp1252", 3),
    ):
        with pytest.raises(InputError, match=rf"not {encoding} text: byte {offset} "):
            read(data, tmp_path, encoding)


def test_half_of_a_surrogate_pair_is_refused_with_its_line(tmp_path):
    with pytest.raises(InputError, match=r"not utf-7 text: line 3 has half of a surrogate pair, U\+D800"):
        read(b"one\r\ntwo\r\na +2AA- b\n", tmp_path, "utf-7")


def test_binary_data_is_not_said_to_be_latin_1(tmp_path):
    with pytest.raises(InputError, match="it looks like no text at all") as caught:
        read(b"text\n" + random.Random(0).randbytes(3000), tmp_path)
    assert "latin-1" not in str(caught.value)
