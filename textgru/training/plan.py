"""What a training is going to do."""

from __future__ import annotations

from dataclasses import dataclass

from textgru.model.config import NetworkConfig


@dataclass(frozen=True)
class Plan:
    """What a training is going to do. `steps` is the most there will be; `memory_bytes`, and how often the text will be
    read, `expected_epochs`, are estimates."""

    preset: str | None
    network: NetworkConfig
    learning_rate: float
    tokenizer: str
    vocab_size: int
    characters: int
    train_tokens: int
    validation_tokens: int
    parameters: int
    memory_bytes: int
    steps_per_epoch: int
    steps: int
    expected_epochs: float
    max_minutes: float | None
    precision: str
    threads: int
    encoded_before: bool = False  # the ids were taken from the cache
    added_tokens: int = 0  # that the network whose weights it starts from lacks
    unknown: float = 0.0  # the part of the tokens, 0 to 1, that a tokenizer of another text doesn't know
