"""The catalogue: what every entry must have, and finding one."""

import re
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

import pytest

from textgru import corpora
from textgru.errors import InputError

DOWNLOADED = [corpus for corpus in corpora.catalogue() if not corpus.included]


def by_name(entries):
    return pytest.mark.parametrize("corpus", entries, ids=lambda corpus: corpus.name)


def test_the_included_corpus_is_the_first_and_the_only_one():
    assert corpora.catalogue()[0].name == "ostrey"
    assert [corpus.name for corpus in corpora.catalogue() if corpus.included] == ["ostrey"]


@pytest.mark.parametrize("field", ["name", "title", "file", "url"])
def test_what_tells_entries_apart_is_unique(field):
    values = [getattr(corpus, field) for corpus in corpora.catalogue()]
    assert len(set(values)) == len(values)


def test_the_list_can_be_changed_without_changing_the_catalogue():
    corpora.catalogue().clear()
    assert corpora.catalogue()


@by_name(corpora.catalogue())
def test_every_entry_is_described(corpus):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", corpus.name)
    assert re.fullmatch(r"[a-z]{2}", corpus.language)
    for text in (corpus.title, corpus.description, corpus.licence):
        assert text == text.strip() != ""
        assert text.isascii(), "would not print on every terminal"


@by_name(corpora.catalogue())
def test_the_file_stays_in_its_folder(corpus):
    assert PurePosixPath(corpus.file).name == PureWindowsPath(corpus.file).name == corpus.file
    assert corpus.file.endswith(".txt")


@by_name(DOWNLOADED)
def test_addresses_are_of_the_web(corpus):
    address = urlsplit(corpus.url)
    assert address.scheme in ("https", "http")
    assert address.hostname
    assert address.path.strip("/")


@by_name(DOWNLOADED)
def test_what_is_not_encrypted_on_its_way_has_a_hash(corpus):
    assert corpus.url.startswith("https://") or corpus.sha256


@by_name(DOWNLOADED)
def test_hashes_and_sizes_have_their_form(corpus):
    assert corpus.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", corpus.sha256)
    assert corpus.size is None or corpus.size > 0


@by_name(DOWNLOADED)
def test_a_zip_and_nothing_else_has_a_member(corpus):
    assert (corpus.member is not None) == urlsplit(corpus.url).path.endswith(".zip")


def test_nothing_is_said_of_a_download_that_does_not_happen():
    included = corpora.catalogue()[0]
    assert (included.size, included.sha256, included.member) == (None, None, None)


def test_no_two_entries_have_the_same_hash():
    hashes = [corpus.sha256 for corpus in corpora.catalogue() if corpus.sha256]
    assert len(set(hashes)) == len(hashes)


def test_tiny_shakespeare_is_the_one_everybody_uses():
    corpus = corpora.get("tiny-shakespeare")
    assert corpus.size == 1_115_394
    assert corpus.sha256 == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def test_get_finds_by_name():
    for corpus in corpora.catalogue():
        assert corpora.get(corpus.name) is corpus


@pytest.mark.parametrize(
    ("name", "similar"),
    [("tinyshakespeare", "tiny-shakespeare"), ("tiny_shakespeare", "tiny-shakespeare"), ("TEXT8", "text8")],
)
def test_an_unknown_name_is_named_and_similar_ones_suggested(name, similar):
    with pytest.raises(InputError) as caught:
        corpora.get(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert f"did you mean {similar}" in str(caught.value)
    assert "textgru corpora list" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_suggested_for_a_name_like_no_other():
    with pytest.raises(InputError) as caught:
        corpora.get("qqqqqqqq")
    assert "did you mean" not in str(caught.value)
    assert "textgru corpora list" in str(caught.value)


def test_path_is_where_the_included_corpus_is():
    assert corpora.path("ostrey").name == "ostrey.txt"
    text = corpora.path("ostrey").read_text("utf-8")
    assert text.strip()


def test_path_of_what_must_be_downloaded_says_how():
    with pytest.raises(InputError, match="textgru corpora fetch text8"):
        corpora.path("text8")


def test_path_of_an_unknown_name():
    with pytest.raises(InputError, match="no corpus of that name"):
        corpora.path("nothing-like-it")


def test_an_entry_can_be_made_by_hand():
    corpus = corpora.Corpus("mine", "Mine", "My own.", "en", "CC0-1.0", "mine.txt", url="https://example.org/mine.txt")
    assert not corpus.included
    assert (corpus.size, corpus.sha256, corpus.member) == (None, None, None)
