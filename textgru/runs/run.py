"""Reads a run directory. Nothing in it is executed, and nothing on the disk is changed."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from textgru.core import dequantize_rows
from textgru.errors import InputError
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.paths import given_path
from textgru.runs.layout import (
    CONFIG,
    FORMAT_VERSION,
    LOCK,
    SCALE,
    TOKENIZER,
    TRAINING,
    WEIGHTS,
    is_run,
    settings_file,
)  # fmt: skip
from textgru.runs.records import ConfigRecord, Scores
from textgru.text.tokenizer import Tokenizer
from textgru.typed import MismatchError, read_fields, read_json, shown

# Of the network, that not every run of format 1 has.
LATER_SETTINGS = {"input_dropout", "variational_dropout", "weight_dropout"}
LARGEST_CONFIG = 1 << 24  # bytes


@dataclass(frozen=True)
class Run:
    """What a run directory says without its weights. `config` is config.json, `record` the same with its types checked,
    `scores` those of the saved weights, by the names in textgru.runs.records.Scores."""

    path: Path
    network: NetworkConfig
    tokenizer: Tokenizer
    config: dict[str, Any] = field(repr=False)
    record: ConfigRecord = field(repr=False)
    scores: dict[str, Any]

    @property
    def precision(self) -> str:
        """In which the weights are stored: "fp32" or "int8"."""
        return self.record.weights.precision

    @staticmethod
    def read(path: str | Path) -> Run:
        """Reads and checks everything but the numbers. Raises InputError that names the file and what is wrong."""
        path = check_folder(path)
        try:
            return Run._read(path)
        except OSError as error:
            raise InputError(f"{path}: can't be read: {error.strerror}") from error

    @staticmethod
    def _read(path: Path) -> Run:
        config = _read_config(path)
        record = _record(path / CONFIG, config)
        network = _network_config(path / CONFIG, record)
        tokenizer_file = settings_file(path, TOKENIZER)
        if not tokenizer_file.is_file():
            raise InputError(f"{path}: damaged run: tokenizer.json is missing")
        tokenizer = Tokenizer.load(tokenizer_file)
        if tokenizer.vocab_size != network.vocab_size:
            raise InputError(
                f"{path / TOKENIZER}: has {tokenizer.vocab_size} tokens, the network was built for {network.vocab_size}"
            )
        shapes = _stored_shapes(network, record.weights.precision)
        return Run(path, network, tokenizer, config, record, _read_scores(path / WEIGHTS, shapes))

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
            values, scale = weights.get(name), weights.get(name + SCALE)
            if values is not None and values.dtype == np.int8 and scale is not None:
                values = dequantize_rows(values, scale)
            if values is None or values.shape != array.shape:
                raise InputError(f"{path}: was replaced by other weights while it was read; try again")
            if not np.isfinite(values).all():
                raise InputError(f"{path}: {name} has numbers that are not finite; train again")
            array[...] = values
        return network


def check_folder(path: str | Path) -> Path:
    """The path of a run directory; raises InputError unless there is a directory."""
    path = given_path("run", path)
    try:
        if path.is_dir():
            return path
        exists = path.exists()
        aside = [old for old in path.absolute().parent.glob(f".{glob.escape(path.name)}.old-*") if is_run(old)]
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    if exists:
        raise InputError(f"{path}: is not a run directory")
    hint = f"; {aside[0]} may be it, set aside by a training that was killed: rename it" if aside else ""
    raise InputError(f"{path}: no such run{hint}")


def network_settings(config: NetworkConfig) -> dict[str, Any]:
    """The network's part of config.json."""
    return {"cell": config.cell, **asdict(config)}


def _stored_shapes(network: NetworkConfig, precision: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """The name, shape and type of every array in the weights' file."""
    shapes: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, shape in network.parameter_shapes().items():
        quantized = precision == "int8" and len(shape) == 2
        shapes[name] = (shape, "I8" if quantized else "F32")
        if quantized:
            shapes[name + SCALE] = (shape[:1], "F32")
    return shapes


def _read_config(run: Path) -> dict[str, Any]:
    path = settings_file(run, CONFIG)
    try:
        if not path.is_file():
            begun = (run / TRAINING / LOCK).exists()
            why = "its training has saved nothing yet" if begun else f"no {CONFIG} in it"
            raise InputError(f"{run}: is not a run directory ({why})")
        if path.stat().st_size > LARGEST_CONFIG:
            raise InputError(f"{path}: damaged: {path.stat().st_size:,} bytes are too many for settings")
        config = read_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    except MismatchError as error:
        raise InputError(f"{path}: damaged: {error}") from error
    version = config.get("format_version") if isinstance(config, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{path}: damaged: no format_version in it")
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path}: format version {shown(version)} is newer than this textgru reads ({FORMAT_VERSION}); "
            "upgrade textgru"
        )
    return dict(config)


def _record(path: Path, config: dict[str, Any]) -> ConfigRecord:
    if not isinstance(config.get("network"), dict):
        raise InputError(f"{path}: damaged: no settings of a network in it")
    try:
        return read_fields(ConfigRecord, config)
    except MismatchError as error:
        raise InputError(f"{path}: damaged: {error}") from error


def _network_config(path: Path, record: ConfigRecord) -> NetworkConfig:
    known = {f.name for f in fields(NetworkConfig)}
    if missing := sorted(known - record.network.keys() - LATER_SETTINGS):
        raise InputError(f"{path}: damaged: network.{missing[0]}: is missing")
    try:
        return read_fields(NetworkConfig, record.network, "network", unknown=False)
    except MismatchError as error:
        raise InputError(f"{path}: damaged: {error}") from error


def _read_scores(path: Path, shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[str, Any]:
    """Checks the names, shapes and dtypes in the weights' header, and returns the scores in it."""
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            raise InputError(f"{path.parent}: damaged run: {path.name} is missing")
        with path.open("rb"):  # the library calls a file that may not be read damaged
            pass
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            found = {name: (tuple(piece.get_shape()), piece.get_dtype()) for name, piece in slices.items()}
    except SafetensorError as error:
        raise InputError(f"{path}: damaged or cut short: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from error
    if found.keys() != shapes.keys():
        odd = sorted(found.keys() ^ shapes.keys())
        more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
        raise InputError(f"{path}: does not fit config.json: {', '.join(odd[:5])}{more} missing or unexpected")
    for name, (shape, dtype) in shapes.items():
        if found[name] != (shape, dtype):
            got_shape, got_dtype = found[name]
            raise InputError(f"{path}: {name} is {got_dtype} {got_shape}, config.json wants {dtype} {shape}")
    try:
        found_scores = read_json(metadata.get("scores", "{}"))
        scores = asdict(read_fields(Scores, found_scores, "scores"))
    except MismatchError as error:
        raise InputError(f"{path}: damaged metadata: {error}") from error
    return {name: value for name, value in scores.items() if name in found_scores}
