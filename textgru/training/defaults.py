"""Settings that nobody gave: which network suits a text and the time there is. The figures: docs/training.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import log2, sqrt
from typing import Any

from textgru.core import get_num_threads, simd
from textgru.core.products import choose_precision
from textgru.errors import InputError
from textgru.model.config import NetworkConfig
from textgru.training.config import TrainingConfig
from textgru.training.presets import PRESETS, Preset

TOKENS_A_WEIGHT = 5  # from this many tokens read for each of its weights, a larger network pays off
WEIGHTS_A_TOKEN = 2  # of the text, up to which it does: with more it learns the text by heart
LITTLE_EXPOSURE = 5  # passes over the text x weights / tokens of the text, up to which there is no dropout
WEIGHT_DROPOUT = 0.1  # from twice as much on
DEEP_DROPOUT = 0.1  # several layers learn slowly with more: then one layer is better
MUON_UNITS = 256  # a layer, up to which Muon learns more in the same time
MUON_SLOWER = 1.5  # by this a step takes longer with it
SLOW_UNITS = 100  # what a step does besides products takes as long as the products of so many more units
MINUTES = 5.0  # the time that is reckoned with where none is given


@dataclass(frozen=True)
class Settings:
    """All of them. `preset` is None where the size of the network was given."""

    preset: str | None
    network: NetworkConfig
    training: TrainingConfig


def resolve(
    network: Mapping[str, Any],
    training: Mapping[str, Any],
    *,
    preset: str | None,
    train_tokens: int,
    vocab_size: int,
) -> Settings:
    """The settings in full: those given (fields of NetworkConfig and TrainingConfig), and what follows for the others.

    The network is that of the preset; where neither it nor a size is given, the largest preset that can read enough of
    the text in the time there is. Embedding and hidden size are the same where weights are tied. Both kinds of dropout
    follow from how often the text will be read, unless one of them is given: then the other is 0. Learning rate and
    optimizer follow from the hidden size. Raises InputError for values that can't be.
    """
    config = TrainingConfig(**training)
    config = replace(config, precision=choose_precision(config.precision))
    sized = network.keys() & {"hidden_size", "num_layers"}
    if preset is None and not sized:
        preset = choose_preset(config, train_tokens, vocab_size, network.get("cell", NetworkConfig.cell))
    shape = asdict(_preset(preset)) if preset is not None else {}
    shape = {**shape, **network}
    if shape.get("tie_weights") is True and "embedding_size" not in network:
        shape["embedding_size"] = shape.get("hidden_size", NetworkConfig.hidden_size)
    complete = NetworkConfig(vocab_size, **shape)
    if "optimizer" not in training and complete.hidden_size <= MUON_UNITS:
        config = replace(config, optimizer="muon")
    if not network.keys() & {"dropout", "weight_dropout"}:
        passes = tokens_to_read(config, complete, train_tokens) / train_tokens
        dropout, weight_dropout = default_dropouts(complete, train_tokens, passes)
        complete = replace(complete, dropout=dropout, weight_dropout=weight_dropout)
    if "learning_rate" not in training:
        rate = default_learning_rate(complete.hidden_size)
        config = replace(config, learning_rate=max(rate, config.min_lr or 0.0))
    return Settings(preset, complete, config)


def check(network: Mapping[str, Any], training: Mapping[str, Any], preset: str | None) -> None:
    """Raises InputError for settings that can't be, whatever the text."""
    resolve(network, training, preset=preset, train_tokens=1_000_000, vocab_size=100)


def choose_preset(config: TrainingConfig, train_tokens: int, vocab_size: int, cell: Any = NetworkConfig.cell) -> str:
    """The largest preset that can read enough tokens in the time there is, of a text that is long enough for it; of
    several layers only where they need little dropout."""
    chosen = "tiny"
    for name, preset in PRESETS.items():
        network = NetworkConfig(vocab_size, **asdict(preset), cell=cell)
        tokens = tokens_to_read(config, network, train_tokens)
        dropout = dropout_alone(network, train_tokens, tokens / train_tokens)
        weights = network.multiplied_weights()
        enough = tokens >= TOKENS_A_WEIGHT * weights and train_tokens * WEIGHTS_A_TOKEN >= weights
        if enough and (preset.num_layers == 1 or dropout <= DEEP_DROPOUT):
            chosen = name
    return chosen


def default_dropouts(network: NetworkConfig, train_tokens: int, passes: float) -> tuple[float, float]:
    """Dropout and weight dropout where neither is given. Weight dropout slows learning down at first, and lets a
    network learn for longer: beside it less of the other is needed."""
    doublings = log2(max(1, passes * network.multiplied_weights() / train_tokens / (2 * LITTLE_EXPOSURE)))
    if not doublings:
        return dropout_alone(network, train_tokens, passes), 0.0
    return round(min(0.5, 0.1 * doublings), 1), WEIGHT_DROPOUT


def dropout_alone(network: NetworkConfig, train_tokens: int, passes: float) -> float:
    """Dropout where it is the only kind: the more, the more often the text is read and the larger the network is."""
    exposure = passes * network.multiplied_weights() / train_tokens / LITTLE_EXPOSURE
    return round(min(0.5, 0.15 * log2(max(exposure, 1))), 1)


def default_learning_rate(hidden_size: int) -> float:
    """The highest learning rate where none is given."""
    return min(4e-3, 4e-3 * sqrt(256 / hidden_size))


def tokens_to_read(config: TrainingConfig, network: NetworkConfig, train_tokens: int) -> float:
    """How many tokens a training reads, roughly: its own limits, and those of the time on a machine like this one."""
    steps = config.step_limit(max(1, train_tokens // (config.batch_size * config.seq_length)))
    seconds = 60 * (config.max_minutes or MINUTES)
    rate = operations_a_second(config.precision) / (6 * network.multiplied_weights())
    rate *= network.hidden_size / (network.hidden_size + SLOW_UNITS)
    if config.optimizer == "muon":
        rate /= MUON_SLOWER
    return min(float(steps * config.batch_size * config.seq_length), rate * seconds)


def operations_a_second(precision: str) -> float:
    """What training does in useful floating-point operations, roughly, with these threads on a CPU of this kind, where
    the network is large."""
    if precision == "bf16":
        rate = {"avx512_bf16": 130e9, "neon_bf16": 40e9}.get(simd.instruction_set(), 5e9)
    else:
        rate = {"baseline": 15e9, "neon_dot": 15e9, "neon_bf16": 15e9, "avx2": 40e9}.get(simd.instruction_set(), 80e9)
    return rate * int(get_num_threads())


def _preset(name: str) -> Preset:
    if not isinstance(name, str) or name not in PRESETS:
        raise InputError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]
