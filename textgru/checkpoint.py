"""A run directory on disk: written so that a kill at any moment leaves the old run or the new one, and read so that
nothing in it is executed.

    config.json          format_version, the network's and the training's settings, what the corpus was
    tokenizer.json       Hugging Face tokenizers format
    model.safetensors    the best weights by validation loss, with PyTorch's names; their scores in its metadata. In an
                         int8 run each matrix is I8 and has its rows' scales beside it, NAME.scale
    metrics.jsonl        one JSON object an event
    training/            what only going on with an unfinished training needs: state.safetensors, the encoded text
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from textgru.core.quantization import dequantize_rows, quantize_rows
from textgru.errors import InputError, StorageError
from textgru.network import Network, NetworkConfig
from textgru.tokenizer import Tokenizer

FORMAT_VERSION = 1
STATE, SET_ASIDE, LOCK = "state.safetensors", "model.safetensors", "lock"
SCALE = ".scale"
LATER_SETTINGS = {"input_dropout", "variational_dropout"}  # of the network, that not every run of format 1 has
CONFIG, TOKENIZER, WEIGHTS, METRICS, TRAINING = (
    "config.json", "tokenizer.json", "model.safetensors", "metrics.jsonl", "training",
)  # fmt: skip


def write_atomically(path: Path, data: bytes) -> None:
    """Writes beside, flushes to the disk and renames into place. Raises StorageError; then the old file stays."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise StorageError(f"{path}: can't be written: {error.strerror}") from error


class RunWriter:
    """A new run directory. It is put together beside its place, under a hidden name, and moved into place whole
    when its first weights are saved; until then a run that it replaces stays untouched.

    Raises InputError if `out` can't be written, holds other files, or holds a run and `overwrite` is false.
    Use as a context manager: what was never published is removed. `RunWriter.go_on` writes to a run that is there.
    """

    def __init__(self, out: Path, *, overwrite: bool = False) -> None:
        self.out = out
        self._overwrite = overwrite
        self.published = False
        self._made: list[Path] = []
        self._lock: Any = None
        _put_back(out)
        self._check_free()
        self.path = out.absolute().parent / f".{out.name}.new-{os.getpid()}"
        try:
            for parent in reversed(self.path.parents):
                if not parent.exists():
                    parent.mkdir()
                    self._made.append(parent)
            for left in self.path.parent.glob(f".{glob.escape(out.name)}.new-*"):
                _remove_abandoned(left)
            self.scratch.mkdir(parents=True)
            self._take_lock()
        except OSError as error:
            self.close()
            raise InputError(f"{out}: can't be written: {error.strerror}; choose another --out") from error

    @classmethod
    def go_on(cls, out: Path) -> RunWriter:
        """Writes to the unfinished run in `out`. The weights are again those of the last checkpoint's best evaluation.

        Raises InputError if there is no such run, or another process is training it.
        """
        writer = cls.__new__(cls)
        writer.out, writer.path, writer.published, writer._made = out, out.resolve(), True, []
        writer._overwrite, writer._lock = False, None
        if not (writer.scratch / STATE).is_file():
            raise InputError(f"{out}: has no unfinished training; --init-from {out} starts a new one from its weights")
        writer._take_lock()
        if (aside := writer.scratch / SET_ASIDE).exists():
            aside.replace(writer.path / WEIGHTS)
        return writer

    @property
    def scratch(self) -> Path:
        """The folder for what is needed only while training."""
        return self.path / TRAINING

    @property
    def has_state(self) -> bool:
        """Whether write_state saved something that is there still, in the run's own place."""
        return self.published and (self.scratch / STATE).is_file()

    def write_state(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Saves what going on needs, in place of what was saved before."""
        from safetensors.numpy import save

        metrics = self.path / METRICS
        facts = {**facts, "metrics_bytes": metrics.stat().st_size if metrics.exists() else 0}
        write_atomically(self.scratch / STATE, save(dict(arrays), metadata={"facts": json.dumps(facts)}))
        with contextlib.suppress(OSError):
            (self.scratch / SET_ASIDE).unlink()

    def read_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What write_state saved last. Events after it are taken out of metrics.jsonl.

        Raises InputError if it can't be read.
        """
        from safetensors import SafetensorError, safe_open
        from safetensors.numpy import load_file

        path = self.scratch / STATE
        try:
            arrays = load_file(path)
            with safe_open(path, framework="np") as file:
                facts = json.loads((file.metadata() or {})["facts"])
            metrics = self.path / METRICS
            if metrics.exists():
                os.truncate(metrics, min(int(facts["metrics_bytes"]), metrics.stat().st_size))
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: damaged: {error}") from error
        return arrays, facts

    def set_weights_aside(self) -> None:
        """Keeps the saved weights for go_on, which puts them back: what is saved next is outside the plan."""
        try:
            (self.scratch / SET_ASIDE).unlink(missing_ok=True)
            os.link(self.path / WEIGHTS, self.scratch / SET_ASIDE)
        except OSError as error:
            raise StorageError(f"{self.scratch}: can't be written: {error.strerror}") from error

    def finish(self) -> None:
        """Removes what is needed only while training."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def write_settings(self, config: Mapping[str, Any], tokenizer: Tokenizer) -> None:
        """Writes config.json, with the format version, and tokenizer.json."""
        text = json.dumps({"format_version": FORMAT_VERSION, **config}, indent=2, ensure_ascii=False)
        write_atomically(self.path / CONFIG, text.encode() + b"\n")
        write_atomically(self.path / TOKENIZER, tokenizer.to_json().encode() + b"\n")

    def save_weights(self, network: Network, scores: Mapping[str, Any], *, precision: str = "fp32") -> None:
        """Saves the weights, and beside them in the same file their scores; the first time, publishes the run.

        `precision` "int8" rounds the rows of matrices to 8-bit integers; the settings have to say so.
        """
        from safetensors.numpy import save

        arrays = network.named_parameters()
        if precision == "int8":
            arrays = _quantized(arrays)
        data = save(arrays, metadata={"format": "textgru", "scores": json.dumps(dict(scores))})
        write_atomically(self.path / WEIGHTS, data)
        if not self.published:
            self._publish()

    def append_metrics(self, event: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl."""
        try:
            with (self.path / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
        except OSError as error:
            raise StorageError(f"{self.out / METRICS}: can't be written: {error.strerror}") from error

    def close(self) -> None:
        """Removes everything if no weights were ever saved, and what has no training state to go on from."""
        if self._lock is not None:
            self._lock.close()
        if self.published:
            if not (self.scratch / STATE).exists():
                self.finish()
            return
        shutil.rmtree(self.path, ignore_errors=True)
        for parent in reversed(self._made):
            with contextlib.suppress(OSError):
                parent.rmdir()

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_lock(self) -> None:
        """Raises InputError if another process writes to this run. The lock goes with the process, however it ends."""
        try:
            import fcntl
        except ImportError:  # a system without it
            return
        self._lock = (self.scratch / LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise InputError(f"{self.out}: another process is training it; wait for it, or stop it") from error

    def _check_free(self) -> None:
        out = self.out
        try:
            if not out.exists():
                if out.is_symlink():
                    raise InputError(f"{out}: is a broken link; choose another --out")
                return
            if not out.is_dir():
                raise InputError(f"{out}: is a file; choose another --out")
            if not any(out.iterdir()):
                return
        except OSError as error:
            raise InputError(f"{out}: can't be read: {error.strerror}; choose another --out") from error
        if not (out / CONFIG).exists() or not (out / WEIGHTS).exists():
            raise InputError(f"{out}: holds files that are no textgru run; choose another --out")
        if not self._overwrite:
            raise InputError(f"{out}: holds another run; choose another --out, or replace it with --overwrite")

    def _publish(self) -> None:
        self._check_free()
        target = self.out.resolve()
        replaced = target.with_name(f".{target.name}.old-{os.getpid()}")
        try:
            if target.exists():
                target.rename(replaced)
            self.path.rename(target)
        except OSError as error:
            if replaced.exists() and not target.exists():
                replaced.rename(target)
            raise StorageError(f"{self.out}: can't be put in place: {error.strerror}") from error
        self.path = target
        self.published = True
        shutil.rmtree(replaced, ignore_errors=True)


@dataclass(frozen=True)
class Run:
    """What a run directory says without its weights. `config` is config.json, `scores` those of the saved weights."""

    path: Path
    network: NetworkConfig
    tokenizer: Tokenizer
    config: dict[str, Any] = field(repr=False)
    scores: dict[str, Any]

    @property
    def precision(self) -> str:
        """In which the weights are stored: "fp32" or "int8"."""
        return _precision(self.path / CONFIG, self.config)

    @staticmethod
    def read(path: str | Path) -> Run:
        """Reads and checks everything but the numbers. Raises InputError that names the file and what is wrong."""
        path = Path(path)
        _put_back(path)
        if not path.is_dir():
            raise InputError(f"{path}: {'is not a run directory' if path.exists() else 'no such run'}")
        config = _read_config(path / CONFIG)
        network = _network_config(path / CONFIG, config)
        if not (path / TOKENIZER).is_file():
            raise InputError(f"{path}: damaged run: tokenizer.json is missing")
        tokenizer = Tokenizer.load(path / TOKENIZER)
        if tokenizer.vocab_size != network.vocab_size:
            raise InputError(
                f"{path / TOKENIZER}: has {tokenizer.vocab_size} tokens, the network was built for {network.vocab_size}"
            )
        shapes = _stored_shapes(network, _precision(path / CONFIG, config))
        return Run(path, network, tokenizer, config, _read_scores(path / WEIGHTS, shapes))

    def load_network(self) -> Network:
        """The network with its weights. Raises InputError if they can't be read or aren't finite."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self.path / WEIGHTS
        try:
            weights = load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: can't be read: {error}") from error
        network = Network(self.network, seed=0)
        for name, array in network.named_parameters().items():
            values = weights[name]
            if values.dtype == np.int8:
                values = dequantize_rows(values, weights[name + SCALE])
            if not np.isfinite(values).all():
                raise InputError(f"{path}: {name} has numbers that are not finite; train again")
            array[...] = values
        return network


def _put_back(out: Path) -> None:
    """A run that was moved aside for a new one, by a process that was killed before the new one was in its place."""
    if out.exists():
        return
    with contextlib.suppress(OSError):
        for replaced in out.absolute().parent.glob(f".{glob.escape(out.name)}.old-*"):
            replaced.rename(out)
            return


def _remove_abandoned(folder: Path) -> None:
    """What a process that was killed had put together; not what one is putting together now."""
    try:
        import fcntl

        with (folder / TRAINING / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except (ImportError, OSError):
        return


def _quantized(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Matrices as 8-bit integers, with their scales."""
    result: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.ndim == 2:
            result[name], result[name + SCALE] = quantize_rows(array)
        else:
            result[name] = array
    return result


def _stored_shapes(network: NetworkConfig, precision: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """The name, shape and type of every array in the weights' file."""
    shapes: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, shape in network.parameter_shapes().items():
        quantized = precision == "int8" and len(shape) == 2
        shapes[name] = (shape, "I8" if quantized else "F32")
        if quantized:
            shapes[name + SCALE] = (shape[:1], "F32")
    return shapes


def network_settings(config: NetworkConfig) -> dict[str, Any]:
    """The network's part of config.json."""
    return {"cell": "gru", **asdict(config)}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path.parent}: is not a run directory (no config.json in it)") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged: {error}") from error
    version = config.get("format_version") if isinstance(config, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{path}: damaged: no format_version in it")
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path}: format version {version} is newer than this textgru reads ({FORMAT_VERSION}); upgrade textgru"
        )
    return dict(config)


def _precision(path: Path, config: dict[str, Any]) -> str:
    weights = config.get("weights", {"precision": "fp32"})
    precision = weights.get("precision") if isinstance(weights, dict) else None
    if precision not in ("fp32", "int8"):
        raise InputError(f"{path}: damaged: weights has the precision {precision!r}, expected fp32 or int8")
    return str(precision)


def _network_config(path: Path, config: dict[str, Any]) -> NetworkConfig:
    settings = config.get("network")
    if not isinstance(settings, dict) or settings.get("cell") != "gru":
        raise InputError(f"{path}: damaged: no settings of a gru network in it")
    known, given = {f.name for f in fields(NetworkConfig)}, settings.keys() - {"cell"}
    if given - known or known - given - LATER_SETTINGS:
        raise InputError(f"{path}: damaged: network has {sorted(given)}, expected {sorted(known)}")
    try:
        return NetworkConfig(**{name: settings[name] for name in given})
    except InputError as error:
        raise InputError(f"{path}: damaged: {error}") from error


def _read_scores(path: Path, shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[str, Any]:
    """Checks the names, shapes and dtypes in the weights' header, and returns the scores in it."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path.parent}: damaged run: {path.name} is missing")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            found = {name: (tuple(piece.get_shape()), piece.get_dtype()) for name, piece in slices.items()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged or cut short: {error}") from error
    if found.keys() != shapes.keys():
        odd = sorted(found.keys() ^ shapes.keys())
        raise InputError(f"{path}: does not fit config.json: {', '.join(odd)} missing or unexpected")
    for name, (shape, dtype) in shapes.items():
        if found[name] != (shape, dtype):
            got_shape, got_dtype = found[name]
            raise InputError(f"{path}: {name} is {got_dtype} {got_shape}, config.json wants {dtype} {shape}")
    try:
        scores = json.loads(metadata.get("scores", "{}"))
    except ValueError as error:
        raise InputError(f"{path}: damaged metadata: {error}") from error
    return scores if isinstance(scores, dict) else {}
