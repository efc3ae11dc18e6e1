"""Who may write to a run directory, and what a kill, a failure or another writer leaves of it."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from textgru.errors import InputError, StorageError, TextgruError
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.runs import writer as writer_module
from textgru.runs.lock import Lock, Locked
from textgru.runs.run import Run, network_settings
from textgru.runs.writer import NewRun, UnfinishedRun
from textgru.text.tokenizer import Tokenizer
from textgru.training.api import train

TOKENIZER = Tokenizer.train("char", lambda: ["abc\n"])
CONFIG = NetworkConfig(vocab_size=5, embedding_size=3, hidden_size=4)


def write_run(out, seed=0, state=False, config=CONFIG, **options):
    network = Network(config, seed=seed)
    with NewRun(out, **options) as run:
        run.write_settings({"network": network_settings(config), "preset": f"of seed {seed}"}, TOKENIZER)
        run.append_metrics({"event": "end", "seed": seed})
        if state:
            run.write_state({"x": np.zeros(3)}, {"seed": seed})
        run.save_weights(network, {"step": seed})
    return network


def files_below(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_is_written_to_is_not_written_to_by_another(tmp_path):
    write_run(tmp_path / "run", state=True)
    before = files_below(tmp_path / "run")
    with UnfinishedRun(tmp_path / "run"):
        for begin in (lambda: NewRun(tmp_path / "run", overwrite=True), lambda: UnfinishedRun(tmp_path / "run")):
            with pytest.raises(InputError, match="run: another process is training it; wait for it, or stop it"):
                begin()
    assert {name: data for name, data in files_below(tmp_path / "run").items() if "lock" not in name} == {
        name: data for name, data in before.items() if "lock" not in name
    }


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("moved", range(4))
def test_weights_that_are_in_place_keep_what_belongs_to_them_where_the_disk_is_full_then(
    tmp_path, monkeypatch, before, moved
):
    out = tmp_path / "run"
    if before:
        write_run(out, seed=1, state=True)
    move, left = writer_module._move, moved

    def full(*arguments):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        move(*arguments)

    monkeypatch.setattr(writer_module, "_move", full)
    with pytest.raises(StorageError, match="run: can't be put in place: No space left on device"):
        write_run(out, seed=2, state=True, overwrite=True)
    assert Run.read(out).config["preset"] == "of seed 2"
    monkeypatch.undo()
    with UnfinishedRun(out) as run:
        assert run.read_state()[1]["seed"] == 2
        run.begin()
    assert sorted(os.listdir(out)) == [
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "tokenizer.json",
        "training",
    ]


def test_what_a_killed_process_left_of_an_ended_training_is_removed(tmp_path):
    write_run(tmp_path / "run", state=True)
    training = tmp_path / "run" / "training"
    removed = []
    with UnfinishedRun(tmp_path / "run") as run, pytest.MonkeyPatch.context() as patch:
        (training / "tokens.bin").write_bytes(b"x")
        patch.setattr(Path, "unlink", lambda path, **_: removed.append(path.name))
        run.finish()
    assert removed[0] == "state.safetensors", "without it nobody goes on; else the resumed training would miss the rest"
    (training / "state.safetensors").unlink()
    (training / "tokens.bin").write_bytes(b"x")
    with pytest.raises(InputError, match="has no unfinished training"):
        UnfinishedRun(tmp_path / "run")
    assert not training.exists()


def test_of_two_new_runs_in_one_place_the_second_is_refused_at_once(tmp_path):
    with NewRun(tmp_path / "a" / "run"), pytest.raises(InputError, match="another process is training it"):
        NewRun(tmp_path / "a" / "run")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_was_moved_or_removed_is_not_written_to(tmp_path):
    for change in (
        lambda run: run.rename(tmp_path / "moved"),
        shutil.rmtree,
        lambda run: (run.rename(tmp_path / "aside"), write_run(run, seed=5)),
    ):
        with NewRun(tmp_path / "run") as run:
            run.write_settings({"network": network_settings(CONFIG)}, TOKENIZER)
            run.save_weights(Network(CONFIG, seed=1), {})
            change(tmp_path / "run")
            before = files_below(tmp_path)
            for save in (
                lambda run=run: run.save_weights(Network(CONFIG, seed=2), {}),
                lambda run=run: run.write_state({"x": np.zeros(3)}, {}),
            ):
                with pytest.raises(StorageError, match="run: was moved, replaced or removed"):
                    save()
            assert files_below(tmp_path) == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, value):
    write_run(tmp_path / "run")
    before = files_below(tmp_path / "run")
    broken = Network(CONFIG, seed=1)
    broken.parameters.values[7] = value
    with NewRun(tmp_path / "run", overwrite=True) as run:
        run.write_settings({"network": network_settings(CONFIG)}, TOKENIZER)
        with pytest.raises(TextgruError, match="not finite"):
            run.save_weights(broken, {})
    assert files_below(tmp_path / "run") == before


def test_other_peoples_files_in_a_run_that_is_replaced_stay(tmp_path):
    write_run(tmp_path / "run", state=True)
    for name in ("notes.txt", "training/mine", "tensorboard/events.out.tfevents.1", "tensorboard/mine"):
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text("mine")
    write_run(tmp_path / "run", seed=1, overwrite=True)
    assert Run.read(tmp_path / "run").scores == {"step": 1}
    assert sorted(files_below(tmp_path / "run")) == [
        "config.json", "metrics.jsonl", "model.safetensors", "notes.txt", "tensorboard/mine", "tokenizer.json",
        "training/mine",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        ["training/thesis.txt"], ["tensorboard/events.out.tfevents.1.host"], ["metrics.jsonl"], ["model.safetensors"],
        ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"], ["config.json"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_files_of_other_programs_are_no_run_whatever_they_are_called(tmp_path, names):
    for name in names:
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text('{"model_type": "bert"}')
    before = files_below(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="folder: holds files that are no textgru run "):
            NewRun(tmp_path / "folder", overwrite=overwrite)
    assert files_below(tmp_path) == before


def test_what_links_lead_to_is_left_alone(tmp_path):
    for link, file in (("tensorboard", "events.out.tfevents.1"), ("training", "state.safetensors")):
        (tmp_path / "there").mkdir(exist_ok=True)
        (tmp_path / "there" / file).write_text("mine")
        run = tmp_path / f"with-{link}"
        write_run(run)
        (run / link).symlink_to(tmp_path / "there")
        if link == "training":
            with pytest.raises(InputError, match="its training is a link to another folder; choose another --out"):
                NewRun(run, overwrite=True)
        else:
            write_run(run, seed=1, overwrite=True)
        assert (tmp_path / "there" / file).read_text() == "mine"


def test_the_working_directory_and_an_empty_folder_stay_the_same_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inode = tmp_path.stat().st_ino
    for seed in (0, 1):
        write_run(Path(), seed=seed, overwrite=bool(seed))
        assert Path().stat().st_ino == inode == tmp_path.stat().st_ino
        assert Run.read(".").scores == {"step": seed}


def test_a_link_leads_to_the_folder_that_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    write_run(tmp_path / "link")
    write_run(tmp_path / "link", seed=1, overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "model.safetensors").is_file()
    (tmp_path / "broken").symlink_to("nowhere")
    with pytest.raises(InputError, match="broken: is a broken link"):
        NewRun(tmp_path / "broken")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moves", range(9))
def test_a_kill_while_a_run_takes_anothers_place_leaves_one_of_them_whole(tmp_path, monkeypatch, moves):
    """Readers get the new run from the moment its weights are in place; the next writer finishes the move."""
    bigger = NetworkConfig(vocab_size=5, embedding_size=3, hidden_size=6)
    old = write_run(tmp_path / "run", state=True)
    done = 0

    def interrupted(call):
        def called(*arguments):
            nonlocal done
            if done == moves:
                raise Killed
            done += 1
            return call(*arguments)

        return called

    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "_move", interrupted(writer_module._move))
        patch.setattr(writer_module.layout, "remove", lambda *_: None)
        patch.setattr(writer_module, "write_atomically", interrupted(writer_module.write_atomically))
        try:
            write_run(tmp_path / "run", seed=1, state=True, config=bigger, overwrite=True)
        except Killed:
            pass
        else:
            assert moves > 7
    found = Run.read(tmp_path / "run")
    new = found.scores == {"step": 1}
    assert found.record.preset == ("of seed 1" if new else "of seed 0")
    assert found.network == (bigger if new else CONFIG)
    np.testing.assert_array_equal(
        found.load_network().parameters.values,
        Network(bigger, seed=1).parameters.values if new else old.parameters.values,
    )
    with UnfinishedRun(tmp_path / "run") as run:
        assert run.read_state()[1]["seed"] == new
    assert Run.read(tmp_path / "run").scores == {"step": int(new)}
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert metrics == f'{{"event": "end", "seed": {int(new)}}}\n'
    write_run(tmp_path / "run", seed=2, overwrite=True)
    assert Run.read(tmp_path / "run").record.preset == "of seed 2"
    assert sorted(os.listdir(tmp_path / "run")) == [
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_without_hard_links_the_weights_are_set_aside_as_a_copy(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with NewRun(tmp_path / "run") as run:
        run.write_settings({"network": network_settings(CONFIG)}, TOKENIZER)
        run.set_weights_aside()  # there are none yet
        run.write_state({"x": np.zeros(3)}, {})
        run.save_weights(Network(CONFIG, seed=1), {"step": 1})
        run.set_weights_aside()
        run.save_weights(Network(CONFIG, seed=2), {"step": 2})
    with UnfinishedRun(tmp_path / "run") as run:
        run.read_state()
        assert Run.read(tmp_path / "run").scores == {"step": 2}, "reading the state changes nothing"
        run.begin()
    assert Run.read(tmp_path / "run").scores == {"step": 1}


def test_the_same_weights_and_scores_are_the_same_file(tmp_path):
    files = set()
    for number in range(12):
        write_run(tmp_path / str(number))
        files.add((tmp_path / str(number) / "model.safetensors").read_bytes())
    assert len(files) == 1


def test_a_lock_follows_its_file(tmp_path):
    lock = Lock(tmp_path / "lock")
    with pytest.raises(Locked):
        Lock(tmp_path / "lock")
    assert lock.held
    (tmp_path / "lock").unlink()
    assert not lock.held
    again = Lock(tmp_path / "lock")
    lock.release(remove=True)
    assert again.held, "another's lock isn't removed"
    again.release(remove=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("what", ["folder", "loop", "link to a file", "pipe"])
def test_what_can_not_be_a_lock_is_named(tmp_path, what):
    write_run(tmp_path / "run", state=True)
    (tmp_path / "mine").write_text("mine")
    lock = tmp_path / "run" / "training" / "lock"
    lock.unlink()
    {
        "folder": lock.mkdir,
        "loop": lambda: lock.symlink_to("lock"),
        "link to a file": lambda: lock.symlink_to(tmp_path / "mine"),
        "pipe": lambda: os.mkfifo(lock),
    }[what]()
    with pytest.raises(InputError, match="lock: can't be used as a lock"):
        UnfinishedRun(tmp_path / "run")
    assert (tmp_path / "mine").read_text() == "mine"


def test_the_beginning_of_a_run_that_was_killed_is_used_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "tales.txt"
    text.write_text("the old man went home\n" * 100)
    options = {"hidden_size": 8, "batch_size": 4, "seq_length": 8, "max_steps": 1, "cache": False}
    killed = NewRun(tmp_path / "runs" / "tales")
    (killed.scratch / "tokens.bin").write_bytes(b"abc")
    assert train(text, **options).run.path == Path("runs/tales-2"), "it is being trained"
    killed._lock.release()
    assert train(text, **options).run.path == Path("runs/tales")
    assert sorted(os.listdir("runs/tales")) == ["config.json", "metrics.jsonl", "model.safetensors", "tokenizer.json"]
    assert train(text, **options).run.path == Path("runs/tales-3")


def test_going_on_leaves_a_copy_of_hard_links_as_it_was(tmp_path):
    write_run(tmp_path / "run", state=True)
    shutil.copytree(tmp_path / "run", tmp_path / "copy", copy_function=os.link)
    before = files_below(tmp_path / "copy")
    with UnfinishedRun(tmp_path / "run") as run:
        run.read_state()
        run.begin()
        run.append_metrics({"event": "more"})
        run.write_state({"x": np.ones(3)}, {"seed": 9})
        run.save_weights(Network(CONFIG, seed=4), {})
    assert files_below(tmp_path / "copy") == before


def test_a_state_with_other_bytes_is_refused(tmp_path):
    write_run(tmp_path / "run", state=True)
    state = tmp_path / "run" / "training" / "state.safetensors"
    data = bytearray(state.read_bytes())
    data[-3] ^= 1
    state.write_bytes(data)
    with UnfinishedRun(tmp_path / "run") as run, pytest.raises(InputError, match="its bytes are not those that were"):
        run.read_state()


def test_events_go_to_no_other_folder(tmp_path):
    with NewRun(tmp_path / "run") as run:
        run.write_settings({"network": network_settings(CONFIG)}, TOKENIZER)
        run.save_weights(Network(CONFIG, seed=1), {})
        shutil.rmtree(tmp_path / "run")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "metrics.jsonl").write_text("mine")
        with pytest.raises(StorageError, match="was moved, replaced or removed"):
            run.append_metrics({"event": "x"})
    assert files_below(tmp_path / "run") == {"metrics.jsonl": b"mine"}
