"""A moving average of the weights, to be used in place of the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from textgru.core import aligned
from textgru.core.optim import lerp
from textgru.core.parameters import Parameters


class WeightAverage:
    """A moving average of a textgru.core.Parameters, of about the last tenth of the steps: polynomial-decay averaging
    (Shamir and Zhang 2013, arXiv:1212.1824, section 4, with eta = 8), and exponential once that is shorter.

    `values` is flat and laid out as `parameters.values`. After step t = 1, 2, ... `update` does
    values += (1 - d) (parameters.values - values), d = min(decay, (t - 1) / (t + 8)).
    Raises ValueError unless 0 <= decay < 1.
    """

    def __init__(self, parameters: Parameters, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay: expected a number from 0 to below 1, got {decay}")
        self.parameters = parameters
        self.decay = float(decay)
        self.values = aligned.copy(parameters.values)

    def update(self, step: int) -> None:
        """Takes in the weights after this step."""
        decay = min(self.decay, (step - 1) / (step + 8))
        lerp(self.values, self.parameters.values, 1 - decay)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it, the parameters are the averages."""
        kept = self.parameters.values.copy()
        self.parameters.values[...] = self.values
        try:
            yield
        finally:
            self.parameters.values[...] = kept
