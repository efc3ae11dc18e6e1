"""Files that hold no text, or text in UTF-16 or UTF-32, told by how they begin."""

from __future__ import annotations

HEAD = 4096  # bytes that are looked at

# (where, what stands there, what such a file is). A magic number that could begin a text as well counts only where a
# NUL byte follows, which a text has not.
_MAGIC = (
    (0, b"\x1f\x8b", "a gzip file, not text; decompress it (a file named .gz is decompressed once)"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file, not text; decompress it (a file named .zst is decompressed once)"),
    (0, b"\xfd7zXZ\0", "an .xz file, not text; decompress it"),
    (0, b"BZh91AY&SY", "a .bz2 file, not text; decompress it"),
    (0, b"\x04\x22\x4d\x18", "an .lz4 file, not text; decompress it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a .7z archive, not text; give the text files in it"),
    (0, b"Rar!\x1a\x07", "a .rar archive, not text; give the text files in it"),
    (0, b"PK\x03\x04", "a .zip archive (as .docx, .odt, .epub and .npz are), not text; give the text in it"),
    (0, b"PK\x05\x06", "an empty .zip archive, not text; give a text file"),
    (257, b"ustar", "a .tar archive, not text; give the text files in it"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of Microsoft Office (.doc, .xls), not text; save it as text"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image, not text"),
    (0, b"\xff\xd8\xff", "a JPEG image, not text"),
    (0, b"GIF87a", "a GIF image, not text"),
    (0, b"GIF89a", "a GIF image, not text"),
    (0, b"II*\0", "a TIFF image, not text"),
    (0, b"MM\0*", "a TIFF image, not text"),
    (8, b"WEBP", "a WebP image, not text"),
    (8, b"WAVE", "a sound file, not text"),
    (0, b"OggS", "a sound file, not text"),
    (0, b"fLaC", "a sound file, not text"),
    (0, b"ID3", "a sound file, not text"),
    (4, b"ftyp", "a film or sound file, not text"),
    (0, b"\x7fELF", "a program, not text"),
    (0, b"MZ", "a program, not text"),
    (0, b"\xcf\xfa\xed\xfe", "a program, not text"),
    (0, b"\xca\xfe\xba\xbe", "a program, not text"),
    (0, b"\0asm", "a program, not text"),
    (0, b"SQLite format 3\0", "an SQLite database, not text"),
    (0, b"\x93NUMPY", "a NumPy array, not text"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, not text"),
    (0, b"PAR1", "a Parquet file, not text"),
    (0, b"GGUF", "a GGUF model, not text"),
    (0, b"\x80\x04\x95", "a Python pickle, not text"),
    (8, b'{"', "a safetensors file, not text"),
)
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_CONTROL = bytes({*range(32), 127} - set(b"\t\n\v\f\r\x1b"))
_PRINTABLE_SHARE, _ALPHABET_SHARE = 0.97, 0.9


def kind_of(head: bytes, encoding: str) -> str | None:
    """What a file is that begins with these bytes and isn't text in this encoding (a name as codecs.lookup has it), and
    what to do; None where nothing speaks against it."""
    head = head[:HEAD]
    if head.startswith(b"%PDF-"):
        return "a PDF, not text; make a text of it first, e.g. with pdftotext"
    for at, magic, what in _MAGIC:
        if head.startswith(magic, at) and (b"\0" in head or not (magic.isascii() and magic.decode().isprintable())):
            return what
    if mark := next((name for mark, name in _MARKS if head.startswith(mark)), None):
        family = encoding.startswith(mark)
        return None if family else f"{mark.upper()} text, which its first bytes say; say so with --encoding {mark}"
    if encoding == "utf-16" or not encoding.startswith(("utf-16", "utf-32")):
        unmarked = _unmarked(head)
        if unmarked is not None:
            return f"{unmarked[:6].upper()} text, by its look; say so with --encoding {unmarked}"
    return None


def looks_binary(data: bytes) -> bool:
    """Whether there are more control characters in the bytes than in any text."""
    return _control_share(data) > 0.03


def _control_share(data: bytes) -> float:
    return (len(data) - len(data.translate(None, _CONTROL))) / max(len(data), 1)


def _unmarked(head: bytes) -> str | None:
    """The kind of UTF-16 or UTF-32 that the bytes are without a mark at their start: read so they give printable
    characters, of few rows (of 256 code points)."""
    if _control_share(head) < 0.01:
        return None
    found = []
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        try:
            text = head[: len(head) // 4 * 4].decode(encoding).strip()
        except UnicodeDecodeError as error:
            if error.start < len(head) - 4:  # else a character is cut in two by the end of the head
                continue
            text = head[: error.start].decode(encoding).strip()
        printable = sum(character.isprintable() or character.isspace() for character in text)
        if len(text) > 1 and printable >= _PRINTABLE_SHARE * len(text):
            rows = [ord(character) >> 8 for character in text]
            # What could be UTF-8 too has to be in one of the alphabets, all of which are in the first rows.
            if not _is_utf8(head) or sum(row <= 0x20 for row in rows) >= _ALPHABET_SHARE * len(rows):
                found.append((len(set(rows)), encoding))
    return min(found)[1] if found else None


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and error.reason == "unexpected end of data"
    return True
