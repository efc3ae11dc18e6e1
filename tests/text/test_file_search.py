"""Which files folders and patterns stand for."""

import os

import pytest

import textgru.text.file_search
from textgru.errors import InputError, shown
from textgru.text.files import check_files, find_files

LONG = "a" * 300


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.txt", "B.TXT", "sub/c.Txt.GZ", ".ipynb_checkpoints/a.txt", ".git/logs/a.txt", "._a.txt", "sub/.d.txt",
        "__MACOSX/._a.txt", "note.md",
    ):  # fmt: skip
        file = tmp_path / "texts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
    return tmp_path / "texts"


def found(folder, *names):
    return [file.relative_to(folder).as_posix() for file in find_files(names)]


def test_hidden_files_and_folders_are_left_out_unless_named(folder):
    assert found(folder, folder) == ["B.TXT", "a.txt", "sub/c.Txt.GZ"]
    assert found(folder, folder / "**" / "*.txt") == ["a.txt"]
    assert found(folder, folder / "**") == ["B.TXT", "a.txt", "note.md", "sub/c.Txt.GZ"]
    assert found(folder, folder / ".git") == [".git/logs/a.txt"]
    assert found(folder, folder / ".*" / "a.txt") == [".ipynb_checkpoints/a.txt"]
    assert found(folder, folder / "._a.txt") == ["._a.txt"]
    assert found(folder, folder / "*" / "c*") == ["sub/c.Txt.GZ"]


def test_links_in_circles_end(folder):
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "here").symlink_to(".")
    (folder.parent / "by link").symlink_to(folder)
    assert found(folder, folder) == ["B.TXT", "a.txt", "sub/c.Txt.GZ"]
    assert found(folder, folder / "**" / "a.txt") == ["a.txt"]
    assert found(folder.parent, folder.parent / "by link") == ["by link/B.TXT", "by link/a.txt", "by link/sub/c.Txt.GZ"]


def test_a_link_to_nothing_is_named(folder):
    (folder / "sub" / "gone.txt").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"sub/gone\.txt: a link to what isn't there"):
        find_files([folder])
    with pytest.raises(InputError, match=r"gone\.txt: a link to nowhere, which isn't there"):
        check_files([folder / "sub" / "gone.txt"], "utf-8")
    (folder / "sub" / "gone.txt").unlink()
    (folder / "circle.txt").symlink_to("circle.txt")
    with pytest.raises(InputError, match=r"circle\.txt: can't be read: Too many levels of symbolic links"):
        find_files([folder])


@pytest.mark.parametrize("pattern", [(), ("**", "*.txt"), ("*", "*.GZ")])
def test_a_folder_that_may_not_be_read_is_named(pattern, folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match="sub: can't be read: Permission denied"):
        find_files([folder.joinpath(*pattern)])


def test_the_search_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(textgru.text.file_search, "MOST_LOOKED_AT", 5)
    for name in (folder, folder / "**" / "*.txt"):
        with pytest.raises(InputError, match="texts: more than 5 files in it; name the folder of the texts"):
            find_files([name])


@pytest.mark.parametrize("name", ["/", "//", "/proc", "/dev/../sys", "/**/*.txt", "/proc/**"])
def test_folders_of_the_system_are_not_walked(name):
    with pytest.raises(InputError, match="a folder of the system, not of texts"):
        find_files([name])


@pytest.mark.parametrize("name", ["", b"a.txt", None, 5, ["a.txt"]])
def test_what_is_no_name(name):
    with pytest.raises(InputError, match="^files: "):
        find_files([name])


def test_one_name_needs_no_list(folder):
    assert find_files(folder / "a.txt") == find_files(str(folder / "a.txt")) == [folder / "a.txt"]
    for name in (None, 5, b"a.txt", ""):
        with pytest.raises(InputError, match="^files: "):
            find_files(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (LONG, "File name too long"),
        (f"{LONG}/*", "File name too long"),
        (f"{LONG}*", "matches no file"),
        ("a/" * 3000, "File name too long"),
        ("a\0b", "a\\\\x00b: no file can have this name"),
        ("a*\0b", "no file can have this name"),
        ("\ud800", "no file can have this name"),
        ("[", "matches no file"),
        ("none/**/*.txt", "matches no file"),
        ("a\n\x1b[31m*", r"a\\n\\x1b\[31m\*: matches no file"),
    ],
)
def test_names_that_no_file_has(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        check_files(find_files([name]), "utf-8")
    assert len(str(caught.value)) < 500
    str(caught.value).encode("ascii")


def test_a_name_that_is_not_utf_8_is_shown_in_ascii(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    with pytest.raises(InputError, match=r"caf\\udce9\.txt: no such file"):
        check_files([name], "utf-8")
    assert shown("naïve 日本.txt") == "naïve 日本.txt"


def test_a_file_called_minus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_files(["./-"]) == [tmp_path / "-"]
    assert [str(file) for file in find_files(["-"])] == ["-"]
