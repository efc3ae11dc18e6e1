"""Dynamic evaluation: the weights follow the text as it is read, so that what came is expected to come again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from textgru.analysis.evaluate import Score
from textgru.core import AdamW
from textgru.errors import TextgruError
from textgru.model.network import Network
from textgru.typed import Range, check_fields


@dataclass(frozen=True)
class DynamicSettings:
    """`rate`: how far a weight moves at a step, about; `segment`: its tokens; `clip`: the most norm of a gradient.

    Raises InputError for values that can't be.
    """

    rate: Annotated[float, Range(0)] = 5e-4
    segment: Annotated[int, Range(1, 1 << 20)] = 64
    clip: Annotated[float, Range(0, above=True)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)


def follower_of(network: Network) -> Network:
    """A copy of a network whose weights can follow a text, without dropout."""
    copy = Network(replace(network.config, dropout=0.0, input_dropout=0.0), seed=0)
    copy.parameters.values[...] = network.parameters.values
    return copy


def follow_text(
    network: Network,
    tokens: np.ndarray,
    settings: DynamicSettings | None = None,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Reads tokens (n,), n at least 2, segment by segment as one text, each scored before the network learns it: its
    weights change. The network is one without dropout (follower_of).

    Krause et al. 2018 (arXiv:1709.07432) divide a gradient by the root mean square of earlier ones, from the training;
    here it is that of the text so far, as in Adam without momentum (Kingma and Ba 2015, arXiv:1412.6980). Nothing
    draws the weights back.
    Raises ValueError for fewer than two tokens, TextgruError where the loss is no longer finite.
    """
    targets = len(tokens) - 1
    if targets < 1:
        raise ValueError(f"tokens: expected at least 2, got {len(tokens)}")
    settings = settings or DynamicSettings()
    optimizer = AdamW(network.parameters, settings.rate, (0.0, 0.999), 1e-8, 0.0)
    state, total = network.initial_state(1), 0.0
    for first in range(0, targets, settings.segment):
        part = tokens[first : first + settings.segment + 1].astype(np.intp)[:, None]
        loss, state = network.loss_and_grad(part[:-1].copy(), part[1:].copy(), state)
        norm = float(np.linalg.norm(network.parameters.gradients))
        if not (np.isfinite(loss) and np.isfinite(norm)):
            raise TextgruError(f"token {first + 1:,}: the loss is no longer finite; try a lower rate")
        total += loss * (len(part) - 1)
        optimizer.step(gradient_scale=min(1.0, settings.clip / max(norm, 1e-12)))
        if on_progress is not None:
            on_progress(min(first + settings.segment, targets), targets)
    return Score(total / targets, targets)
