"""Whether a model is as often right as it is sure."""

from __future__ import annotations

import numpy as np

BINS = 15


class Calibration:
    """The expected calibration error of Guo et al. 2017 (arXiv:1706.04599, equation 3), with 15 bins of equal width.

    A prediction is the likeliest token, and its confidence the probability that the model gives it. Predictions fall
    into bins by their confidence: above (m - 1) / 15, up to m / 15. The error is the mean over all predictions of the
    distance, within their bin, between how many are right and how sure the model was: 0 for one that is right
    as often as it says.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((3, BINS))  # predictions, those that are right, the sum of confidences

    def add(self, confidence: np.ndarray, right: np.ndarray) -> None:
        """Predictions with these confidences (n,) from 0 to 1, NaN counting as 0; right (n,) bool."""
        confidence = np.nan_to_num(confidence)
        bins = np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)
        for counts, weights in zip(self._counts, (None, right, confidence), strict=True):
            counts += np.bincount(bins, weights, BINS)

    def add_counts(self, other: Calibration) -> None:
        """What was added to another."""
        self._counts += other._counts

    @property
    def error(self) -> float:
        """From 0 to 1; 0 where there are no predictions."""
        predictions, right, confidence = self._counts
        return float(np.abs(right - confidence).sum() / max(predictions.sum(), 1))
