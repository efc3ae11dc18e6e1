"""What a network's gates and states do along a text, and which of its units follow something that can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from textgru.analysis.inspect_features import features
from textgru.errors import InputError
from textgru.model.network import Network
from textgru.text.files import normalise
from textgru.text.tokenizer import Tokenizer

MOST_TOKENS = 20_000  # all gates of all units are kept: some 10 kB a token and layer of 512 units
FEWEST_CASES = 10  # tokens at which a feature must have another value than its usual one
SMALLEST = 1e-37  # above what float32 has as a subnormal number


class Unit(NamedTuple):
    """A unit (`layer` and `unit` from 0) and what it follows: the `feature` that its state h has the largest
    correlation with (Pearson's, -1 to 1), None where the text has no feature to follow. `memory`: see
    Inspection.memory."""

    layer: int
    unit: int
    feature: str | None
    correlation: float
    memory: float


@dataclass(frozen=True)
class Inspection:
    """What happened while a network read a text of T tokens from the zero state, H units a layer.

    `pieces`: the text of each token, T strings. `gates`: for each layer, arrays (T, H) float32 by the names of the
    equations (textgru.core): r, z, n, h of a GRU, i, f, g, o, h, c of an LSTM, h of a plain network. `features`: name
    -> (T,), what can be seen of the text at each token's last character.
    """

    pieces: list[str]
    gates: list[dict[str, np.ndarray]]
    features: dict[str, np.ndarray]

    def memory(self, layer: int) -> np.ndarray:
        """How many tokens each unit of a layer remembers, (H,): the tokens after which 1/e of a state is left.

        What is left of a state after t tokens is the product of the t values of the gate that keeps it, z of a GRU, f
        of an LSTM: on average exp(t * mean(log z)), so that it is -1 / mean(log z); inf where the gate is always
        open. A plain network has no such gate: -1 / log(a), a being the correlation of h with that one token before;
        0 where that is not positive.
        """
        found = self.gates[layer]
        keeping = found.get("z", found.get("f"))
        with np.errstate(divide="ignore"):
            if keeping is not None:
                mean: np.ndarray = np.log(np.maximum(keeping, SMALLEST), dtype=np.float64).mean(axis=0)
                return np.where(mean < 0, -1 / mean, inf)
            h = found["h"]
            along = np.array([_correlation(h[1:, i : i + 1], h[:-1, i])[0] for i in range(h.shape[1])])
            return np.where(along > 0, -1 / np.log(np.clip(along, SMALLEST, 1)), 0.0)

    def correlations(self, layer: int) -> tuple[list[str], np.ndarray]:
        """The names of the F features that vary in this text, and the correlation (F, H) of each with each unit's h."""
        names = [name for name, values in self.features.items() if _varies(values)]
        h = self.gates[layer]["h"]
        along = [_correlation(h, self.features[name]) for name in names]
        return names, np.array(along).reshape(len(names), h.shape[1])

    def describe(self, layer: int, units: Sequence[int]) -> list[Unit]:
        """What these units follow. Raises InputError for a layer or a unit that there isn't."""
        names, correlations = self.correlations(self._layer(layer))
        hidden, memory = correlations.shape[1], self.memory(layer)
        described = []
        for unit in units:
            if not 0 <= unit < hidden:
                raise InputError(f"units: expected numbers from 0 to {hidden - 1}, got {unit}")
            feature, correlation = None, 0.0
            if names:
                best = int(np.abs(correlations[:, unit]).argmax())
                feature, correlation = names[best], float(correlations[best, unit])
            described.append(Unit(layer, unit, feature, correlation, float(memory[unit])))
        return described

    def telling(self, count: int = 8, layer: int | None = None) -> list[Unit]:
        """Up to `count` units, of all layers or of one: for each feature the unit that follows it best, the best
        first. Where the text has no features to follow, the units whose h varies most."""
        layers = range(len(self.gates)) if layer is None else [self._layer(layer)]
        best: dict[str, Unit] = {}
        memory = {number: self.memory(number) for number in layers}
        for number in layers:
            names, correlations = self.correlations(number)
            for name, along in zip(names, correlations, strict=True):
                unit = int(np.abs(along).argmax())
                if name not in best or abs(along[unit]) > abs(best[name].correlation):
                    best[name] = Unit(number, unit, name, float(along[unit]), float(memory[number][unit]))
        if best:
            chosen: dict[tuple[int, int], Unit] = {}  # a unit once, with what it follows best
            for one in sorted(best.values(), key=lambda one: -abs(one.correlation)):
                chosen.setdefault((one.layer, one.unit), one)
            return list(chosen.values())[:count]
        spread = [
            (-float(s), number, unit) for number in layers for unit, s in enumerate(self.gates[number]["h"].std(axis=0))
        ]
        return [
            Unit(number, unit, None, 0.0, float(memory[number][unit])) for _, number, unit in sorted(spread)[:count]
        ]

    def _layer(self, layer: int) -> int:
        if not 0 <= layer < len(self.gates):
            raise InputError(f"layer: expected a number from 0 to {len(self.gates) - 1}, got {layer}")
        return layer


def inspect(network: Network, tokenizer: Tokenizer, text: str) -> Inspection:
    """Reads a text of up to 20,000 tokens from the zero state and keeps what all gates did. The weights are taken in
    float32. Not from two threads at once on one network. Raises InputError for a text without tokens, or a longer one.
    """
    tokens = tokenizer.encode(normalise(text))
    if not 0 < len(tokens) <= MOST_TOKENS:
        raise InputError(f"text: expected 1 to {MOST_TOKENS:,} tokens, got {len(tokens):,}")
    x = network.embedding.parameters["weight"][tokens][:, None]
    _, _, gates = network.recurrent.forward(np.ascontiguousarray(x), training=False, return_gates=True)
    decoder = tokenizer.decoder()
    pieces = [decoder.feed(int(token)) for token in tokens]
    return Inspection(
        pieces, [{name: array[:, 0] for name, array in found.items()} for found in gates], _at_tokens(pieces)
    )


def _at_tokens(pieces: list[str]) -> dict[str, np.ndarray]:
    """The features at the last character of each token; of a token that completes no character, at the one before."""
    ends = np.maximum(np.cumsum([len(piece) for piece in pieces]) - 1, 0)
    found = features("".join(pieces))
    return {name: values[ends] if len(values) else np.zeros(len(ends)) for name, values in found.items()}


def _varies(values: np.ndarray) -> bool:
    """Whether a feature differs from its usual value often enough for a correlation to say something."""
    _, counts = np.unique(values, return_counts=True)
    return len(values) - int(counts.max()) >= FEWEST_CASES


def _correlation(h: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Pearson's, of each column of h (T, H) with values (T,): (H,), 0 where one of them is constant."""
    h, values = h - h.mean(axis=0, dtype=np.float64), values - values.mean(dtype=np.float64)
    size = np.sqrt((h**2).sum(axis=0) * (values**2).sum())
    along: np.ndarray = np.divide(values @ h, size, out=np.zeros(h.shape[1]), where=size > 0)
    return along


def shown_memory(tokens: float) -> str:
    """A length of memory in words."""
    if tokens == inf:
        return "for ever"
    return f"{tokens:.1f}" if tokens < 100 else f"{tokens:,.0f}"
