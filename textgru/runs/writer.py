"""Writes run directories, so that a kill at any moment leaves the old run or the new one."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textgru.atomic_files import link_or_copy, write_atomically
from textgru.core import quantize_rows
from textgru.errors import InputError, StorageError, TextgruError
from textgru.model.network import Network
from textgru.runs import layout
from textgru.runs.layout import (
    COMMIT,
    CONFIG,
    FORMAT_VERSION,
    LOCK,
    METRICS,
    RUN_FILES,
    SCALE,
    SET_ASIDE,
    STAGING,
    STATE,
    TENSORBOARD,
    TENSORBOARD_LOGS,
    TOKENIZER,
    TRAINING,
    WEIGHTS,
)  # fmt: skip
from textgru.runs.lock import Lock, Locked
from textgru.text.tokenizer import Tokenizer
from textgru.typed import MismatchError, read_json

if TYPE_CHECKING:
    from typing_extensions import Self


class RunWriter:
    """What writes to a run directory `out`, whose lock it holds: NewRun or UnfinishedRun. A context manager.

    `path` is the directory, absolute; `published` whether the weights in it are this writer's.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.path = Path(os.path.realpath(out))
        self.published = False
        self._lock: Lock | None = None

    @property
    def scratch(self) -> Path:
        """The folder for what is needed only while training."""
        return self.path / (TRAINING if self.published else STAGING)

    @property
    def in_place(self) -> bool:
        """Whether the folder is still the one that is written to: not moved, replaced or removed meanwhile."""
        return self._lock is not None and self._lock.held

    @property
    def has_state(self) -> bool:
        """Whether there is a state to go on from, in the run's own place."""
        return self.published and (self.scratch / STATE).is_file()

    def write_state(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Saves what going on needs, in place of what was saved before. Raises StorageError."""
        from safetensors.numpy import save

        self._check_place()
        metrics = self._metrics
        facts = {**facts, "metrics_bytes": metrics.stat().st_size if metrics.exists() else 0}
        metadata = {"facts": json.dumps(facts), "sha256": _digest(arrays, json.dumps(facts))}
        write_atomically(self.scratch / STATE, save(dict(arrays), metadata=metadata))
        with contextlib.suppress(OSError):
            (self.scratch / SET_ASIDE).unlink()

    def set_weights_aside(self) -> None:
        """Keeps the saved weights, if there are any, for going on, which puts them back: what is saved next is outside
        the plan."""
        if not self.published:
            return
        aside = self.scratch / SET_ASIDE
        try:
            aside.unlink(missing_ok=True)
            link_or_copy(self.path / WEIGHTS, aside)
        except OSError as error:
            raise StorageError(f"{aside}: can't be written: {error.strerror}") from error

    def save_weights(self, network: Network, scores: Mapping[str, Any], *, precision: str = "fp32") -> None:
        """Saves the weights, and beside them in the same file their scores; the first time, publishes the run.

        `precision` "int8" rounds the rows of matrices to 8-bit integers; the settings have to say so. Raises
        TextgruError for weights that aren't finite, StorageError.
        """
        from safetensors.numpy import save

        arrays = network.named_parameters()
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise TextgruError(f"{self.out}: {name} has numbers that are not finite; these weights are not saved")
        if precision == "int8":
            arrays = _quantized(arrays)
        # One entry: the library writes several in an order that changes from file to file.
        data = save(arrays, metadata={"scores": json.dumps(dict(scores))})
        self._check_place()
        if self.published:
            write_atomically(self.path / WEIGHTS, data)
        else:
            self._publish(data)

    def append_metrics(self, event: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl, whole or not at all. Raises StorageError."""
        self._check_place()
        try:
            with self._metrics.open("ab") as file:
                end = file.tell()
                try:
                    file.write(json.dumps(event, allow_nan=False).encode() + b"\n")
                    file.flush()
                except OSError:
                    with contextlib.suppress(OSError):
                        os.truncate(self._metrics, end)
                    raise
        except OSError as error:
            raise StorageError(f"{self._metrics}: can't be written: {error.strerror}") from error

    def finish(self) -> None:
        """Removes what is needed only while training: first the state, without which nobody goes on."""
        files = [file for file in layout.ours(self.scratch) if file.name != LOCK]
        layout.remove(self.scratch, sorted(files, key=lambda file: file.name != STATE))

    def close(self) -> None:
        """Lets the run go, without what has no training state to go on from; and without losing what is still to be put
        in its place."""
        self._let_go(remove=not (self.path / TRAINING / STATE).exists() and layout.committed(self.path) is None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _metrics(self) -> Path:
        return (self.path if self.published else self.scratch) / METRICS

    def _publish(self, weights: bytes) -> None:
        raise NotImplementedError

    def _take_lock(self) -> None:
        """Raises InputError if another process writes to this run, or there can be no lock."""
        lock = self.path / TRAINING / LOCK
        try:
            self._lock = Lock(lock)
        except Locked as error:
            raise InputError(f"{self.out}: another process is training it; wait for it, or stop it") from error
        except OSError as error:
            raise InputError(f"{lock}: can't be used as a lock: {error.strerror}; remove it, or mend that") from error

    def _check_place(self) -> None:
        """Raises StorageError unless the folder is still the one that was locked."""
        if not self.in_place:
            raise StorageError(f"{self.out}: was moved, replaced or removed while it was being written")

    def _let_go(self, *, remove: bool) -> None:
        """Releases the lock; `remove` removes the folder for training as well."""
        if self._lock is not None:
            if remove:
                self.finish()
            self._lock.release(remove=remove)
            self._lock = None
            if remove:
                layout.remove(self.path / TRAINING, [])


class NewRun(RunWriter):
    """A new run. It is put together in a folder within `out` and takes its place, file by file, when its first weights
    are saved; until then a run that it replaces stays untouched, and so do files that are no run's at all times.

    Raises InputError if `out` can't be written, another process trains it, it holds files that are no run, or holds a
    run and `overwrite` is false. What was never published is removed at the end.
    """

    def __init__(self, out: Path, *, overwrite: bool = False) -> None:
        super().__init__(out)
        self._overwrite = overwrite
        self._made: list[Path] = []
        self._check_free()
        try:
            self._make_folders()
            self._take_lock()
            _mend(self.path)
            self._check_free()
            self.replaces = layout.is_run(self.path)
            layout.remove(self.scratch, layout.ours(self.scratch))
            self.scratch.mkdir()
            _remove_abandoned(self.path)
        except OSError as error:
            self.close()
            raise InputError(f"{out}: can't be written: {error.strerror}; choose another --out") from error
        except InputError:
            self.close()
            raise

    def write_settings(self, config: Mapping[str, Any], tokenizer: Tokenizer) -> None:
        """Writes config.json, with the format version, and tokenizer.json."""
        text = json.dumps({"format_version": FORMAT_VERSION, **config}, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(self.scratch / CONFIG, text.encode() + b"\n")
        write_atomically(self.scratch / TOKENIZER, tokenizer.to_json().encode() + b"\n")

    def close(self) -> None:
        """Removes everything if no weights were ever saved, and what has no training state to go on from."""
        if not self.published and self._lock is not None and self._lock.held:
            layout.remove(self.scratch, layout.ours(self.scratch))
        super().close()
        if not self.published:
            for folder in reversed(self._made):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _make_folders(self) -> None:
        for folder in (*reversed(self.path.parents), self.path, self.path / TRAINING):
            if not folder.exists():
                with contextlib.suppress(FileExistsError):  # another process is as fast
                    folder.mkdir()
                    self._made.append(folder)

    def _check_free(self) -> None:
        out = self.out
        try:
            if not self.path.exists():
                if out.is_symlink():
                    raise InputError(f"{out}: is a broken link; choose another --out")
                return
            if not self.path.is_dir():
                raise InputError(f"{out}: is a file; choose another --out")
            odd, is_run = layout.foreign(self.path), layout.is_run(self.path)
            linked = [name for name in (TRAINING, STAGING) if (self.path / name).is_symlink()]
        except OSError as error:
            raise InputError(f"{out}: can't be read: {error.strerror}; choose another --out") from error
        if odd and not is_run:
            raise InputError(f"{out}: holds files that are no textgru run ({odd[0]}); choose another --out")
        if linked:
            raise InputError(f"{out}: its {linked[0]} is a link to another folder; choose another --out")
        if is_run and not self._overwrite:
            raise InputError(f"{out}: holds another run; choose another --out, or replace it with --overwrite")

    def _publish(self, weights: bytes) -> None:
        """Puts the weights in their place, and then all that belongs to them: see textgru.runs.layout."""
        files = [path.name for path in layout.ours(self.scratch) if path.name != COMMIT]
        commit = {"weights": hashlib.sha256(weights).hexdigest(), "files": files}
        write_atomically(self.scratch / COMMIT, json.dumps(commit).encode())
        write_atomically(self.path / WEIGHTS, weights)
        self.published = True  # from here on what is in the staging folder belongs to the run, also if the rest fails
        try:
            _finish_replacement(self.path, files)
        except OSError as error:
            raise StorageError(f"{self.out}: can't be put in place: {error.strerror}") from error


class UnfinishedRun(RunWriter):
    """The run in `out`, whose training has a checkpoint to go on from. Nothing is changed before `begin`.

    Raises InputError if there is no such run, or another process is training it.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.published = True
        self._begun = False
        nothing = f"{out}: has no unfinished training; --init-from {out} starts a new one from its weights"
        if not (self.path / TRAINING / STATE).is_file() and layout.committed(self.path) is None:
            _remove_finished(self.path)
            raise InputError(nothing)
        if (metrics := self.path / METRICS).exists() and not metrics.is_file():
            raise InputError(f"{metrics}: is no file that events can be written to; remove it")
        self._take_lock()
        try:
            _mend(self.path)
        except OSError as error:
            self.close()
            raise InputError(f"{out}: can't be written: {error.strerror}") from error
        if not (self.path / TRAINING / STATE).is_file():
            self.close()
            raise InputError(nothing)

    def read_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What write_state saved last. Raises InputError if it can't be read."""
        from safetensors import SafetensorError, safe_open
        from safetensors.numpy import load_file

        path = self.scratch / STATE
        try:
            arrays = load_file(path)
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
            facts = read_json(metadata["facts"])
            if metadata.get("sha256") not in (None, _digest(arrays, metadata["facts"])):
                raise MismatchError("its bytes are not those that were written")
            self._metrics_bytes = facts["metrics_bytes"]
            if isinstance(self._metrics_bytes, bool) or not isinstance(self._metrics_bytes, int):
                raise MismatchError(f"metrics_bytes: expected an integer, got {self._metrics_bytes!r}")
        except OSError as error:
            raise InputError(f"{path}: can't be read: {error.strerror or error}") from error
        except KeyError as error:
            raise InputError(f"{path}: damaged: {error} is missing in it") from error
        except Exception as error:  # the library has errors of its own, and for odd types NumPy's
            if not isinstance(error, (SafetensorError, ValueError, TypeError, AttributeError)):
                raise
            raise InputError(f"{path}: damaged: {error}") from error
        return arrays, facts

    def begin(self) -> None:
        """Puts the run back to the state that read_state gave: the weights of its best evaluation, the events before
        it. Raises StorageError."""
        try:
            if (aside := self.scratch / SET_ASIDE).is_file():
                aside.replace(self.path / WEIGHTS)
            if self._metrics.is_file():  # as a file of its own: a copy of the run may share it by a hard link
                write_atomically(self._metrics, self._metrics.read_bytes()[: max(self._metrics_bytes, 0)])
            layout.remove(self.path / STAGING, layout.ours(self.path / STAGING))  # of a process that was killed
        except OSError as error:
            raise StorageError(f"{self.out}: can't be written: {error.strerror}") from error
        self._begun = True

    def close(self) -> None:
        """Lets the run go, without what has no training state to go on from."""
        if self._begun or self._lock is None:
            super().close()
        else:
            self._lock.release(remove=self._lock.made)
            self._lock = None


def _digest(arrays: Mapping[str, np.ndarray], facts: str) -> str:
    """The SHA-256 of a state."""
    digest = hashlib.sha256(facts.encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _quantized(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Matrices as 8-bit integers, with their scales."""
    result: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.ndim == 2:
            result[name], result[name + SCALE] = quantize_rows(array)
        else:
            result[name] = array
    return result


def _mend(run: Path) -> None:
    """Finishes a replacement whose process was killed after its weights were in place. Raises OSError."""
    if (files := layout.committed(run)) is not None:
        _finish_replacement(run, files)


def _finish_replacement(run: Path, files: list[str]) -> None:
    """Moves what belongs to the new weights into place; what was moved already stays. Raises OSError."""
    staging, training = run / STAGING, run / TRAINING
    training.mkdir(exist_ok=True)
    if not (run / TENSORBOARD).is_symlink():
        layout.remove(run / TENSORBOARD, (run / TENSORBOARD).glob(TENSORBOARD_LOGS))
    for name in (CONFIG, TOKENIZER, METRICS):
        _move(staging / name, run / name, name in files)
    for old in layout.ours(training):
        if old.name != LOCK and old.name not in files:
            old.unlink()
    for name in files:
        if name not in RUN_FILES:
            _move(staging / name, training / name, True)
    layout.remove(staging, layout.ours(staging))


def _move(source: Path, target: Path, wanted: bool) -> None:
    if source.is_file():
        source.replace(target)
    elif not wanted:
        target.unlink(missing_ok=True)
    elif not target.is_file():
        raise FileNotFoundError(errno.ENOENT, f"{source.name} is missing", str(source))


def _remove_finished(run: Path) -> None:
    """Removes what a training needed that was killed while it removed that itself, after its end."""
    if layout.is_run(run) and layout.ours(run / TRAINING):
        with contextlib.suppress(OSError, Locked):
            held = Lock(run / TRAINING / LOCK)
            if not (run / TRAINING / STATE).is_file():
                layout.remove(run / TRAINING, [file for file in layout.ours(run / TRAINING) if file.name != LOCK])
            held.release(remove=True)
            layout.remove(run / TRAINING, [])


def _remove_abandoned(run: Path) -> None:
    """Removes what earlier versions put together beside a run, .NAME.new-PID, where its process is gone."""
    for folder in run.parent.glob(f".{glob.escape(run.name)}.new-*"):
        lock = folder / TRAINING / LOCK
        if not re.fullmatch(r"\.new-\d+", folder.name[len(run.name) + 1 :]) or not lock.is_file():
            continue
        with contextlib.suppress(OSError, Locked):
            held = Lock(lock)
            layout.remove(folder / TRAINING, layout.ours(folder / TRAINING))
            layout.remove(folder, [folder / name for name in RUN_FILES])
            held.release()
