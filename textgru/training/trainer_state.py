"""Where a training is, besides its arrays: what it counts, and what a checkpoint says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from textgru.training.events import EvaluationEvent
from textgru.typed import Range

Count = Annotated[int, Range(0, 2**62)]
Number = Annotated[float, Range(-1e300, 1e300)]
Seconds = Annotated[float, Range(0, 1e11)]


@dataclass
class Progress:
    """What a training counts as it goes. Seconds are sums over all sessions."""

    step: Count = 0
    loss_sum: Number = 0.0  # since the last evaluation
    loss_count: Count = 0
    evaluations: Count = 0  # that were planned by default up to here
    evaluations_made: Count = 0
    training_seconds: Seconds = 0.0
    evaluation_seconds: Seconds = 0.0  # the longest evaluation, with saving its weights
    checkpoint_seconds: Seconds = 0.0  # the longest checkpoint
    longest_step: Seconds = 0.0
    without_progress: Count = 0  # evaluations since the best one
    waited: Count = 0  # evaluations since the best one or the last halving of the learning rate
    halvings: Count = 0
    usual_norm: Number = 0.0  # of the gradient, a moving mean
    spikes: Count = 0
    spikes_in_a_row: Count = 0


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says besides its arrays. `rng` is the state of the stream (NumPy's PCG64) that batches are
    drawn from, `dropout_rng` of that of dropout; where it is None, one stream serves both."""

    progress: Progress
    optimizer_steps: Count
    offset: Count
    next_step: Count
    rng: dict[str, Any]
    best: EvaluationEvent | None
    seconds: Seconds
    dropout_rng: dict[str, Any] | None = None


def set_generator(rng: np.random.Generator, state: Mapping[str, Any], name: str) -> None:
    """Sets a generator's state. Raises ValueError, with its name, if it isn't one of its kind."""
    try:
        rng.bit_generator.state = state
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: not the state of a random generator ({error})") from error
