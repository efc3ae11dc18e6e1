"""How much of a text stands in another, against plain searching for every piece."""

import random
import shutil
import tracemalloc

import numpy as np
import pytest

import textgru
from tests.texts import MIXED, sentences
from textgru.analysis import novelty_search
from textgru.analysis.novelty import novelty
from textgru.analysis.novelty_search import Search
from textgru.errors import InputError

SIZES = (1, 2, 3, 5, 8, 13)


def longest_in(text, long):
    """The length of the longest piece of a text in another, by looking for every one."""
    best = 0
    for start in range(len(text)):
        while text[start : start + best + 1] in long and start + best < len(text):
            best += 1
    return best


def cases():
    rng = random.Random(3)
    for alphabet in ("ab", "abcdefgh", MIXED):
        for size in (1, 30, 700):
            long = "".join(rng.choice(alphabet) for _ in range(5000))
            own = "".join(rng.choice(alphabet) for _ in range(size))
            yield f"{size} of {len(alphabet)}", own, long
            place = rng.randrange(4000)
            yield f"{size} of {len(alphabet)}, part copied", own + long[place : place + 300] + own[::-1], long
    yield "one character", "a" * 500, "b" + "a" * 3000 + "b"
    yield "the end is the start", "abcabc", "c" * 40 + "abc"
    yield "all of it", sentences(3000), sentences(3000)
    yield "nothing", "xyz", "abc" * 50
    yield "half of a pair", "a\udc80b", "ca\udc80bd"


CASES = {name: (own, long) for name, own, long in cases()}


@pytest.mark.parametrize("block", [1, 7, 1 << 15])
@pytest.mark.parametrize("name", CASES)
def test_it_finds_what_plain_searching_finds(name, block, monkeypatch):
    own, long = CASES[name]
    monkeypatch.setattr(novelty_search, "BLOCK", block)
    long = long[:700] if block == 1 else long
    search = Search([own], SIZES)
    rng = random.Random(1)
    rest = long
    while rest:
        piece = rng.randint(1, 900)
        search.feed(rest[:piece])
        rest = rest[piece:]
    search.end_document()
    assert search.characters == len(long)
    assert search.length == longest_in(own, long)
    assert own[search.start : search.start + search.length] == long[search.place : search.place + search.length]
    for wanted in search.wanted:
        grams = [own[i : i + wanted.n] for i in range(len(own) - wanted.n + 1)]
        assert wanted.found().tolist() == [gram in long for gram in grams]


def test_nothing_reaches_from_one_text_into_the_next():
    search = Search(["ab", "cd"], [2, 3])
    search.feed("xabcdx")
    search.end_document()
    assert [wanted.found().tolist() for wanted in search.wanted] == [[True, True], []]
    assert search.length == 2
    search = Search(["abcd"], [2])
    for document in ("ab", "cd"):
        search.feed(document)
        search.end_document()
    assert search.wanted[0].found().tolist() == [True, False, True]
    assert search.length == 2


def test_memory_does_not_grow_with_the_long_text():
    block, own = sentences(200_000, seed=1), sentences(2000, seed=2)
    peaks = []
    for times in (1, 20):
        tracemalloc.start()
        search = Search([own], [4, 16])
        for _ in range(times):
            search.feed(block)
        search.end_document()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two texts and a run trained on them, on characters; another on bpe, where each is a document."""
    folder = tmp_path_factory.mktemp("novelty")
    (folder / "a.txt").write_text(sentences(6000, seed=1) + "END OF A", encoding="utf-8")
    (folder / "b.txt").write_text("BEGIN OF B" + sentences(6000, seed=2), encoding="utf-8")
    files, settings = [folder / "a.txt", folder / "b.txt"], {"max_steps": 2, "batch_size": 4, "seq_length": 16}
    textgru.train(files, folder / "char", hidden_size=8, **settings)
    textgru.train(files, folder / "bpe", hidden_size=8, tokenizer="bpe", separate_documents=True, **settings)
    return folder


@pytest.mark.parametrize(("kind", "longest"), [("char", "END OF ABEGIN OF B"), ("bpe", "BEGIN OF B")])
def test_a_run_knows_its_text(kind, longest, folder):
    result = novelty(f"¿{longest}? ¿END OF ABEGIN OF B?", textgru.load(folder / kind).run, sizes=(3,))
    assert result.longest == longest
    assert result.start == 1
    assert result.place == 6000 + (8 if kind == "bpe" else 0)
    assert result.same_text is True
    assert result.training_characters == 12_018


def test_shares_are_of_the_n_grams_and_of_the_characters(folder):
    run = textgru.load(folder / "char").run
    result = novelty("END OF A¿¿", run, sizes=(4, 2, 4, 40))
    assert [size.n for size in result.ngrams] == [2, 4, 40]
    two, four, forty = result.ngrams
    assert (two.count, two.new, two.copied) == (9, 2 / 9, 0.8)
    assert (four.count, four.new, four.copied) == (7, 2 / 7, 0.8)
    assert (forty.count, forty.new, forty.copied) == (0, 0.0, 0.0)
    several = novelty(["END", "OF\r\n", "¿"], run, sizes=(3,))
    assert several.characters == 7
    assert several.ngrams[0].count == 2
    assert several.ngrams[0].new == 0.5
    second = novelty(["¿¿", "¿END"], run)
    assert (second.longest, second.start) == ("END", 3)


def test_a_text_that_changed_is_told(folder, tmp_path):
    run = textgru.load(folder / "char").run
    files = [shutil.copy(folder / name, tmp_path) for name in ("a.txt", "b.txt")]
    assert novelty("END", run, files=files).same_text is True
    (tmp_path / "a.txt").write_text(sentences(6000, seed=3) + "END OF A", encoding="utf-8")
    assert novelty("END", run, files=files).same_text is False
    assert novelty("END", run, files=files[:1]).longest == "END"


def test_the_text_of_a_run_without_a_hash_is_known_by_its_length(folder, tmp_path):
    run = shutil.copytree(folder / "char", tmp_path / "run")
    config = (run / "config.json").read_text()
    start = config.index('"sha256"')
    (run / "config.json").write_text(config[:start].rstrip().removesuffix(",") + config[config.index("}", start) :])
    found = textgru.load(run).run
    assert found.record.corpus.sha256 is None
    assert novelty("END", found).same_text is True
    assert novelty("END", found, files=[folder / "a.txt"]).same_text is False


def test_a_text_that_is_gone_is_named(folder, tmp_path):
    textgru.train(shutil.copy(folder / "a.txt", tmp_path), tmp_path / "run", hidden_size=8, max_steps=1)
    (tmp_path / "a.txt").unlink()
    run = textgru.load(tmp_path / "run").run
    with pytest.raises(InputError, match=r"a.txt: the text that the model was trained on is not there; .* --text FILE"):
        novelty("END", run)
    assert novelty("END", run, files=[folder / "a.txt"]).same_text is True


@pytest.mark.parametrize(
    ("text", "sizes", "message"),
    [
        ("", (2,), "text: is empty"),
        ("a", (), "sizes: expected lengths from 1 to 10,000, got none"),
        ("a", (0,), "sizes: expected lengths from 1 to 10,000, got 0"),
        ("a", (10_001,), "got 10001"),
    ],
)
def test_bad_values_are_named(text, sizes, message, folder):
    with pytest.raises(InputError, match=message):
        novelty(text, textgru.load(folder / "char").run, sizes=sizes)


def test_too_long_a_text_is_refused(folder, monkeypatch):
    monkeypatch.setattr("textgru.analysis.novelty.MOST_CHARACTERS", 5)
    with pytest.raises(InputError, match="at most 5 characters, got 6"):
        novelty("abcdef", textgru.load(folder / "char").run)


def test_progress_ends_with_all(folder):
    seen = []
    novelty("END", textgru.load(folder / "char").run, on_read=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == sum((folder / name).stat().st_size for name in ("a.txt", "b.txt"))
    assert np.all(np.diff([done for done, _ in seen]) >= 0)
