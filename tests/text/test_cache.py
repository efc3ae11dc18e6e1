"""The same text is encoded once, whatever happens to the cache."""

import hashlib
import json
import os
import shutil
import sys

import pytest

import textgru
from tests.texts import sentences
from textgru.errors import InputError
from textgru.text.cache import TokenCache
from textgru.text.tokenizer import Tokenizer
from textgru.training.events import StepEvent
from textgru.training.run import TrainingRun

CONFIG = {"batch_size": 4, "seq_length": 8, "max_steps": 4, "checkpoint_every": 1}
TEXT = sentences(3000)


@pytest.fixture
def text_file(tmp_path):
    file = tmp_path / "tales.txt"
    file.write_text(TEXT, encoding="utf-8")
    return file


@pytest.fixture
def start(text_file, tmp_path):
    """Starts a training on the text; `number` tells runs apart."""

    def run(files=None, number=0, **options):
        return TrainingRun(
            files or [text_file], tmp_path / f"run{number}", training=CONFIG, network={"hidden_size": 8}, **options
        )

    return run


@pytest.fixture
def encoded_before(start):
    """Whether a training on the text took its ids from the cache; and it must have the right ones."""

    def call(files=None, **options):
        with start(files, **options) as run:
            ids = [*run.corpus.train, *run.corpus.validation]
            if files is None:
                assert run.tokenizer.decode([i for i in ids if i != run.tokenizer.eos_id]) == TEXT
            assert len(ids) == len(run.corpus.train) + len(run.corpus.validation) > 0
            return run.plan().encoded_before

    return call


def only_entry(cache):
    (entry,) = cache.iterdir()
    return entry


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_a_second_training_encodes_nothing(kind, text_file, start, monkeypatch):
    with start(tokenizer=kind) as run:
        assert not run.plan().encoded_before
        first = [*run.corpus.train], [*run.corpus.validation], run.tokenizer.to_json(), run.corpus.characters
    monkeypatch.setattr("textgru.text.corpus.read_blocks", None)
    monkeypatch.setattr(Tokenizer, "train", None)
    os.utime(text_file, (1, 1))
    with start(tokenizer=kind) as run:
        assert run.plan().encoded_before
        assert first == ([*run.corpus.train], [*run.corpus.validation], run.tokenizer.to_json(), run.corpus.characters)
        assert run.corpus.validation_characters > 0


def test_a_changed_byte_is_seen_whatever_the_date_and_size(text_file, start):
    with start():
        pass
    stat = text_file.stat()
    text_file.write_text(TEXT[:1000] + "Z" + TEXT[1001:], encoding="utf-8")
    os.utime(text_file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with start() as run:
        assert not run.plan().encoded_before
        assert run.tokenizer.decode(run.corpus.train[1000:1001]) == "Z"


def test_what_the_ids_depend_on(encoded_before, text_file, tmp_path):
    halves = [tmp_path / name for name in ("1.txt", "2.txt")]
    for half, text in zip(halves, (TEXT[:1500], TEXT[1500:]), strict=True):
        half.write_text(text, encoding="utf-8")
    own = tmp_path / "own.json"
    own.write_text(Tokenizer.train("char", lambda: [TEXT]).to_json(), encoding="utf-8")
    ways = [
        {},
        {"tokenizer": "byte"},
        {"tokenizer": "bpe"},
        {"tokenizer": "bpe", "vocab_size": 300},
        {"tokenizer": str(own)},
        {"encoding": "latin-1"},
        {"separate_documents": True},
        {"files": halves},
        {"files": halves[::-1]},
    ]
    assert [encoded_before(**way) for way in ways] == [False] * len(ways)
    assert [encoded_before(**way) for way in ways] == [True] * len(ways)
    assert encoded_before(encoding="UTF8"), "another name of the same encoding"
    assert encoded_before(tokenizer="bpe", vocab_size=1024), "the default"
    assert encoded_before(val_fraction=0.5), "another part held out of the same ids"
    assert not encoded_before(cache=False)


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: os.truncate(entry / "tokens.bin", 17),
        lambda entry: (entry / "tokens.bin").unlink(),
        lambda entry: (entry / "facts.json").unlink(),
        lambda entry: (entry / "facts.json").write_text("{}"),
        lambda entry: (entry / "facts.json").write_bytes(b"\xff"),
        lambda entry: (entry / "tokenizer.json").write_text("{}"),
        lambda entry: (entry / "tokenizer.json").unlink(),
        lambda entry: (entry / "tokens.bin").write_bytes(b"\xff" * 3000),
    ],
    ids=["short", "no tokens", "no facts", "empty facts", "no text", "tokenizer", "no tokenizer", "ids too large"],
)
def test_a_damaged_entry_is_made_anew(damage, encoded_before, cache):
    assert not encoded_before()
    whole = {file.name: file.read_bytes() for file in only_entry(cache).iterdir()}
    damage(only_entry(cache))
    assert not encoded_before()
    assert {file.name: file.read_bytes() for file in only_entry(cache).iterdir()} == whole
    assert encoded_before()


@pytest.mark.parametrize("where", ["/proc/none", "a file"])
def test_without_a_cache_that_can_be_written_it_trains_all_the_same(where, text_file, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("TEXTGRU_CACHE", where if where.startswith("/") else str(tmp_path / where))
    model = textgru.train(text_file, tmp_path / "run", max_steps=1, batch_size=4, seq_length=8, hidden_size=8)
    assert model.run.scores["step"] == 1


def test_a_full_disk_under_the_cache_is_no_failure(encoded_before, cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("textgru.text.cache.os.link", full)
    monkeypatch.setattr("textgru.atomic_files.shutil.copyfile", full)
    assert not encoded_before()
    assert list(cache.iterdir()) == []


def test_where_there_are_no_hard_links_the_ids_are_copied(encoded_before, monkeypatch):
    def no_links(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("textgru.text.cache.os.link", no_links)
    assert not encoded_before()
    assert encoded_before()


def test_nothing_is_written_into_what_runs_share(start, cache):
    """A training that encoded, one that took the ids from the cache, and one that replaces that one."""

    def content():
        return hashlib.sha256((only_entry(cache) / "tokens.bin").read_bytes()).hexdigest()

    with start(number=1) as run:
        list(run.events())
        before = content()
    for overwrite in (False, True):
        with start(number=2, overwrite=overwrite) as run:
            assert run.plan().encoded_before
            list(run.events())
    assert content() == before


def test_a_training_goes_on_after_the_cache_is_gone(start, cache, tmp_path):
    for number in (1, 2):
        run = start(number=number)
        for event in run.events():
            if isinstance(event, StepEvent) and event.step == 2:
                break
        run._writer._lock.release()
    shutil.rmtree(cache)
    for number in (1, 2):
        assert textgru.resume(tmp_path / f"run{number}").run.scores["step"] > 0


def test_what_was_used_least_recently_goes_first(start, text_file, cache, monkeypatch):
    monkeypatch.setenv("TEXTGRU_CACHE_LIMIT", "0.00001")  # 10,000 bytes: two entries of about 5,000

    def train(letter):
        text_file.write_text(letter * 2000 + TEXT[:1000], encoding="utf-8")
        with start() as run:
            for place, entry in enumerate(sorted(cache.iterdir(), key=lambda entry: entry.stat().st_mtime)):
                os.utime(entry, (place, place))  # clocks may be coarse
            return run.plan().encoded_before

    assert [train(letter) for letter in "abacab"] == [False, False, True, False, True, False]
    assert len(list(cache.iterdir())) == 2


def test_limits(encoded_before, cache, monkeypatch):
    monkeypatch.setenv("TEXTGRU_CACHE_LIMIT", "0")
    assert not encoded_before()
    assert list(cache.iterdir()) == []
    monkeypatch.setenv("TEXTGRU_CACHE_LIMIT", "much")
    with pytest.raises(InputError, match="TEXTGRU_CACHE_LIMIT: expected a number of gigabytes, got 'much'"):
        encoded_before()


def test_what_killed_processes_left_goes_in_time(encoded_before, cache):
    for name in (".new-old", ".new-young"):
        (cache / name).mkdir()
        (cache / name / "tokens.bin").write_bytes(b"half")
    os.utime(cache / ".new-old", (1, 1))
    assert not encoded_before()
    assert encoded_before()
    assert sorted(entry.name for entry in cache.iterdir())[0] == ".new-young"
    assert not (cache / ".new-old").exists()


def test_an_entry_that_another_process_made_meanwhile_stays(encoded_before, cache):
    assert not encoded_before()
    entry = only_entry(cache)
    hidden = entry.rename(cache.parent / "hidden")
    real_keep = textgru.text.cache.TokenCache.keep

    def late(self, *arguments):
        hidden.rename(entry)
        real_keep(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textgru.text.cache.TokenCache.keep", late)
        assert not encoded_before()
    assert only_entry(cache) == entry
    assert encoded_before()


def test_progress_is_told_in_bytes(start, text_file):
    calls = []
    with start(tokenizer="bpe", on_progress=lambda *call: calls.append(call)):
        pass
    size = text_file.stat().st_size
    assert list(dict.fromkeys(what for what, _, _ in calls)) == ["reading", "tokenizer", "encoding"]
    assert {total for _, _, total in calls} == {size}
    for what in ("reading", "tokenizer", "encoding"):
        done = [done for name, done, _ in calls if name == what]
        assert done == sorted(done)
        assert done[-1] == size


def test_standard_input_is_found_again(tmp_path, cache, monkeypatch):
    import io

    for number in (0, 1):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
        with TrainingRun(["-"], tmp_path / "run", training=CONFIG, network={"hidden_size": 8}) as run:
            assert run.plan().encoded_before == bool(number)
    assert json.loads((only_entry(cache) / "facts.json").read_text())["characters"] == len(TEXT)


def test_nothing_goes_but_what_is_an_entry(start, text_file, cache, monkeypatch):
    monkeypatch.setenv("TEXTGRU_CACHE_LIMIT", "0.00001")
    key = "0123456789abcdef" * 4
    strangers = [
        "precious/data.bin", "precious/deep/er/data.bin", f"{key}/tokens.bin", f"{key}/notes.txt",
        f"{key[::-1]}/tokens.bin/data", f"{key.upper()}/tokens.bin", f"{key[1:]}/tokens.bin", ".new-mine/notes.txt",
        f".new-other/{key}/notes.txt", "file",
    ]  # fmt: skip
    for name in strangers:
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(b"x" * 20_000)
    (cache.parent / "elsewhere").mkdir()
    (cache.parent / "elsewhere" / "tokens.bin").write_bytes(b"x" * 20_000)
    (cache / ("b" * 64)).symlink_to(cache.parent / "elsewhere")
    (cache / ("c" * 64)).mkdir()
    (cache / ("c" * 64) / "tokens.bin").symlink_to(cache.parent / "elsewhere" / "tokens.bin")
    for path in [*cache.iterdir()]:
        os.utime(path, (1, 1))
    before = {path: path.is_file() and path.read_bytes() for path in cache.rglob("*")}
    for letter in "abc":
        text_file.write_text(letter * 2000 + TEXT[:1000], encoding="utf-8")
        with start() as run:
            assert not run.encoded_before
    after = {path: path.is_file() and path.read_bytes() for path in cache.rglob("*")}
    assert before.items() <= after.items()
    assert (cache.parent / "elsewhere" / "tokens.bin").is_file()
    ours = [path for path in cache.iterdir() if (path / "facts.json").is_file()]
    assert len(ours) == 2, "and room is made among our own"


def test_an_entry_that_holds_more_than_an_entry_is_not_used_and_stays(encoded_before, cache):
    assert not encoded_before()
    (only_entry(cache) / "notes.txt").write_text("mine")
    assert not encoded_before()
    assert (only_entry(cache) / "notes.txt").read_text() == "mine"
    assert (only_entry(cache) / "tokens.bin").is_file()


@pytest.mark.parametrize("limit", ["nan", "-1", "-inf", "-1e400", " ", "1 GB"])
def test_limits_that_are_none(limit, start, cache, monkeypatch):
    monkeypatch.setenv("TEXTGRU_CACHE_LIMIT", limit)
    with pytest.raises(InputError, match=f"TEXTGRU_CACHE_LIMIT: expected a number of gigabytes, got '{limit}'"):
        start()


@pytest.mark.parametrize("limit", ["inf", "1e400", ""])
def test_limits_that_hold_everything(limit, encoded_before, monkeypatch):
    monkeypatch.setenv("TEXTGRU_CACHE_LIMIT", limit)
    assert not encoded_before()
    assert encoded_before()


def test_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("pwd.getpwuid", lambda *_: (_ for _ in ()).throw(KeyError("no such user")))
    where = {
        ("/given", "/xdg", "/home/nell"): "/given",
        ("~/given", "", "/home/nell"): "/home/nell/given",
        ("given", "", "/home/nell"): "given",
        ("", "/xdg", "/home/nell"): "/xdg/textgru",
        ("", "xdg", "/home/nell"): "/home/nell/.cache/textgru",
        ("", "", "/home/nell"): "/home/nell/.cache/textgru",
        ("", "", "home"): None,
        ("", "", None): None,
        ("~/given", "", None): None,
        ("~nobody-of-that-name/given", "", "/home/nell"): None,
    }
    for (given, xdg, home), expected in where.items():
        monkeypatch.setenv("TEXTGRU_CACHE", given)
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        monkeypatch.delenv("HOME", raising=False)
        if home is not None:
            monkeypatch.setenv("HOME", home)
        cache = TokenCache.of_user()
        assert (cache and str(cache.folder)) == expected


def test_without_a_home_it_trains_without_a_cache(text_file, tmp_path, monkeypatch):
    monkeypatch.setattr("pwd.getpwuid", lambda *_: (_ for _ in ()).throw(KeyError("no such user")))
    for name in ("HOME", "XDG_CACHE_HOME", "TEXTGRU_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    textgru.train(text_file, "run", max_steps=1, batch_size=4, seq_length=8, hidden_size=8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "tales.txt"]


@pytest.fixture
def rewrite(text_file, monkeypatch):
    """Puts another text into the file, of the same size and date, just after a function of textgru has been called."""

    def after(owner, function):
        real = getattr(owner, function)

        def call(*arguments, **options):
            result = real(*arguments, **options)
            text_file.write_text(TEXT[::-1], encoding="utf-8")
            os.utime(text_file, (1, 1))
            return result

        monkeypatch.setattr(owner, function, call)

    return after


def test_what_was_encoded_is_kept_under_its_own_hash_only(start, text_file, rewrite, monkeypatch):
    os.utime(text_file, (1, 1))
    real = textgru.text.prepare.hash_files
    rewrite(textgru.text.prepare, "hash_files")
    with start() as run:
        assert run.tokenizer.decode(run.corpus.train[:20]) == TEXT[:-21:-1]
    monkeypatch.setattr(textgru.text.prepare, "hash_files", real)
    text_file.write_text(TEXT, encoding="utf-8")
    with start() as run:
        assert not run.encoded_before
        assert run.tokenizer.decode(run.corpus.train[:20]) == TEXT[:20]


@pytest.mark.parametrize("cached", [True, False])
def test_a_file_that_changes_between_vocabulary_and_encoding_is_named(cached, start, rewrite, cache):
    rewrite(Tokenizer, "train")
    with pytest.raises(InputError, match=r"tales\.txt: changed while it was read; start again when it is complete"):
        start(cache=cached)
    assert list(cache.iterdir()) == []


def test_other_bytes_of_the_same_size_are_not_taken(encoded_before, cache):
    """The file of ids is the one that runs have, and who changes one changes the other."""
    assert not encoded_before()
    ids = only_entry(cache) / "tokens.bin"
    content = bytearray(ids.read_bytes())
    content[1000], content[1001] = content[1001], content[1000]
    ids.write_bytes(content)
    assert content[1000] != content[1001]
    assert not encoded_before()
    assert encoded_before()
