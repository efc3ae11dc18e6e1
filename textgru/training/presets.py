"""The sizes of networks that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """The shape of a network."""

    hidden_size: int
    num_layers: int
    embedding_size: int


PRESETS: Mapping[str, Preset] = {
    "tiny": Preset(128, 1, 32),
    "small": Preset(256, 1, 64),
    "medium": Preset(512, 1, 64),
    "large": Preset(512, 2, 128),
}
