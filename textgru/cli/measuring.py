"""What textgru eval measures of a text, over several processes if mpiexec started them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textgru.analysis.lost_starts import Starts, lost_starts
from textgru.analysis.quality import Counts, Quality, counted
from textgru.cli.over_ranks import ranks, work_shared
from textgru.cli.progress import progress_bar
from textgru.distributed.ranks import Ranks
from textgru.ensemble_model import EnsembleModel
from textgru.language_model import LanguageModel
from textgru.model.ensemble import Packed
from textgru.model.network import Network


def measured(model: LanguageModel, tokens: np.ndarray, encoded: Path, streams: int) -> tuple[Quality, Starts]:
    """How well a model predicts tokens (n,), with which the file `encoded` begins, and how many starts go astray
    (textgru.analysis)."""
    together = ranks()
    if together.size == 1:
        network = _network(model)
        with progress_bar("scoring") as on_progress:
            counts = counted(network, tokens, streams=streams, on_progress=on_progress)
        return counts.quality(), lost_starts(network, tokens)
    with work_shared(_Measuring(model, encoded.resolve(), tokens.dtype, streams)) as ask:
        found = ask(len(tokens))
    counts = Counts()
    for part, _ in found:
        counts.add_counts(part)
    return counts.quality(), Starts(*(sum(numbers) for numbers in zip(*(starts for _, starts in found), strict=True)))


@dataclass(frozen=True)
class _Measuring:
    """What each rank counts: of its share of the parts of a text, and of the starts."""

    model: LanguageModel
    encoded: Path
    dtype: np.dtype
    streams: int

    def __call__(self, ranks: Ranks, length: int) -> tuple[Counts, Starts]:
        network = _network(self.model)
        with ranks.file(self.encoded) as file:
            tokens = np.memmap(file, self.dtype, "r", shape=(length,))
            counts = counted(network, tokens, streams=self.streams, ranks=ranks)
            return counts, lost_starts(network, tokens, ranks=ranks)


def _network(model: LanguageModel) -> Network | Packed:
    """What measures it: the network itself in fp32, else the packed weights."""
    alone = model.precision == "fp32" and not isinstance(model, EnsembleModel)
    return model.network if alone else model.packed()
