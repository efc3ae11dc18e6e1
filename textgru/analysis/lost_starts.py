"""Places from which a network, begun with an empty state, goes astray and never finds back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textgru.analysis.reader import Reader
from textgru.distributed.ranks import Ranks
from textgru.model.ensemble import Packed
from textgru.model.network import Network

STARTS = 512
LENGTH, JUDGED = 300, 100  # tokens that are read from a place, and the last of them, by which it is judged
OTHERS = (50, 100)  # tokens later, where others begin to read what it is judged by
ASTRAY = 3.0  # nats a token more than from there
ROWS = 128  # that are read side by side


class Starts(NamedTuple):
    """Of `tried` random places in a text, how many are `lost`: 200 to 300 tokens on, a token costs at least 3 nats more
    than the same tokens where the reading began 50 or 100 tokens later."""

    tried: int
    lost: int


def lost_starts(
    network: Network | Packed, tokens: np.ndarray, *, starts: int = STARTS, seed: int = 0, ranks: Ranks | None = None
) -> Starts:
    """Reads tokens (n,) from random places on, with an empty state, as a text is that is to be written.

    Up to `starts` places, one for each LENGTH tokens; none where there are fewer. Of `ranks` each tries its share.
    """
    tried = min(starts, (len(tokens) - 1) // LENGTH)
    places = np.random.default_rng(seed).integers(0, max(1, len(tokens) - LENGTH), tried)
    places = places[(ranks or Ranks()).share(tried)]
    tried, lost = len(places), 0
    for first in range(0, tried, ROWS):
        some = places[first : first + ROWS]
        late = _late_losses(network, tokens, some, LENGTH)
        others = np.min([_late_losses(network, tokens, some + later, LENGTH - later) for later in OTHERS], axis=0)
        lost += int(np.count_nonzero(~(late < others + ASTRAY)))
    return Starts(tried, lost)


def _late_losses(network: Network | Packed, tokens: np.ndarray, places: np.ndarray, length: int) -> np.ndarray:
    """The mean loss of the last JUDGED of `length` tokens from each place on."""
    window = np.stack([tokens[place : place + length] for place in places], axis=1).astype(np.intp)
    late: np.ndarray = Reader(network, len(places)).losses(window)[-JUDGED:].mean(axis=0)
    return late
