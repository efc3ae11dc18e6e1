"""What follows a training step: evaluating, saving, ending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Ending = Literal["finished", "out of patience", "stopped"]


@dataclass(frozen=True)
class Moment:
    """A training right after a step. All that is decided there is decided from this one value: a stop or a second that
    comes later belongs to the next step."""

    progress: float  # how much of the training is done, 0 to 1
    due: bool  # an evaluation is planned here
    checkpoint_due: bool
    finished: bool
    stop: bool
    fruitless: bool = False  # a good part of the training has brought no lower validation loss

    @property
    def evaluates(self) -> bool:
        """Whether an evaluation follows."""
        return self.due or self.finished or self.stop

    @property
    def off_plan(self) -> bool:
        """Whether only the stop brings that evaluation. What going on needs is saved before it: a training that never
        stopped hasn't had it."""
        return self.stop and not (self.due or self.finished)

    def ending(self, *, without_progress: int, patience: int | None) -> Ending | None:
        """Why the training ends here, if it does. `without_progress`: so many evaluations were no better, up to the one
        that belongs to this moment; `patience`: how many may be."""
        if self.finished:
            return "finished"
        waited = without_progress >= patience if patience is not None else self.fruitless and without_progress > 0
        if self.due and waited:
            return "out of patience"
        return "stopped" if self.stop else None

    def saves_last(self, ending: Ending | None) -> bool:
        """Whether a checkpoint follows, after any evaluation: not where nothing is left to go on with."""
        return (self.due or self.checkpoint_due) and not self.off_plan and ending in (None, "stopped")
