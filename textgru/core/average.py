"""A moving average of the weights, to be used in place of the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from textgru.core._support import aligned
from textgru.core._support.checks import check_apart, check_number, check_output, check_size
from textgru.core._support.fixed import Fixed
from textgru.core.optim import lerp
from textgru.core.parameters import Parameters, check_parameters


class WeightAverage(Fixed):
    """A moving average of a textgru.core.Parameters, of about the last tenth of the steps: polynomial-decay averaging
    (Shamir and Zhang 2013, arXiv:1212.1824, section 4, with eta = 8), and exponential once that is shorter.

    `values` is flat and laid out as `parameters.values`. After step t = 1, 2, ... `update` does
    values += (1 - d) (parameters.values - values), d = min(decay, (t - 1) / (t + 8)).
    Raises ValueError unless 0 <= decay < 1, TypeError for what is no number or no Parameters.
    """

    _fixed = frozenset({"parameters"})

    def __init__(self, parameters: Parameters, decay: float) -> None:
        check_parameters(parameters)
        self.parameters = parameters
        self.decay = check_number("decay", decay, 0.0, 1.0)
        self.values = aligned.copy(parameters.values)

    def update(self, step: int) -> None:
        """Takes in the weights after this step. Raises ValueError or TypeError unless it is an integer from 1 up, and
        for values of another size or type."""
        step = check_size("step", step)
        self._check()
        decay = min(check_number("decay", self.decay, 0.0, 1.0), (step - 1) / (step + 8))
        lerp(self.values, self.parameters.values, 1 - decay)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it, the parameters are the averages."""
        self._check()
        kept = self.parameters.values.copy()
        self.parameters.values[...] = self.values
        try:
            yield
        finally:
            self.parameters.values[...] = kept

    def _check(self) -> None:
        check_parameters(self.parameters)
        now = self.parameters.values
        check_output("values", self.values, now.dtype, now.shape)
        check_apart("values", self.values, parameters=now)

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.values = aligned.copy(self.values)
