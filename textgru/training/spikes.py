"""Gradients that are so much larger than usual that their step is better left out."""

from __future__ import annotations

from textgru.training.trainer_state import Progress

SPIKE = 20.0  # times the usual norm
SPIKES_FROM = 50  # the step from which on it is known what is usual
MOST_SPIKES_IN_A_ROW = 3


def is_spike(made: Progress, norm: float, grad_clip: float) -> bool:
    """Whether the step with a gradient of this norm is to be left out; counts it in `made`.

    No more than a few in a row are: then large is the new usual. A norm that `grad_clip` allows is never one.
    """
    spike = (
        made.step >= SPIKES_FROM
        and norm > SPIKE * made.usual_norm
        and norm > grad_clip
        and made.spikes_in_a_row < MOST_SPIKES_IN_A_ROW
    )
    if spike:
        made.spikes, made.spikes_in_a_row = made.spikes + 1, made.spikes_in_a_row + 1
        return True
    new_usual = made.spikes_in_a_row == MOST_SPIKES_IN_A_ROW
    made.usual_norm += (norm - made.usual_norm) * (1.0 if new_usual else max(0.02, 1 / (made.step + 1)))
    made.spikes_in_a_row = 0
    return False
