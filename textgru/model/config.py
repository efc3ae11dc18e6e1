"""What rebuilds a network but for its weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, Literal

from textgru.errors import InputError
from textgru.typed import Help, Range, check_fields

# More than any machine trains: what is asked for by mistake, or by a damaged file, is refused before memory is taken.
MOST_TOKENS, MOST_UNITS, MOST_LAYERS = 1 << 24, 1 << 20, 1 << 10

# A large vocabulary is scored for a few rows at a time, so that their scores take no more than this many bytes.
LOGITS_BYTES = 1 << 24

# Of each cell: the gates that its weights have, the blocks of H numbers that a step of a row keeps for the backward
# pass, the arrays of its state.
CELL_SIZES = {"gru": (3, 4, 1), "lstm": (4, 4, 2), "rnn": (1, 1, 1)}


@dataclass(frozen=True)
class NetworkConfig:
    """What rebuilds a network but for its weights. Raises InputError for values that can't be.

    `cell` is what the recurrent layers are made of (textgru.core.GRU, LSTM, RNN). `embedding_size` and `hidden_size`
    are widths. While training, `dropout` falls on every layer's output and
    `input_dropout` on the embedding; with `variational_dropout` the mask is the same at all steps of a sequence.
    `weight_dropout` falls on the weights of the recurrence, weight_hh, with a mask for a whole step of training.
    `tie_weights` uses the embedding as the output layer's weight, and needs the two widths to be equal.
    """

    vocab_size: Annotated[int, Range(1, MOST_TOKENS)]
    embedding_size: Annotated[
        int,
        Range(1, MOST_UNITS),
        Help("Width of a token's vector.", "Network", default="by --preset; the hidden size with --tie-weights"),
    ] = 64
    hidden_size: Annotated[
        int,
        Range(1, MOST_UNITS),
        Help("Units a layer.", "Network", default="by --preset"),
    ] = 256
    num_layers: Annotated[int, Range(1, MOST_LAYERS), Help("Recurrent layers.", "Network", default="by --preset")] = 1
    dropout: Annotated[
        float,
        Range(0, 1, below=True),
        Help("Dropout on every layer's output.", "Network", default="by the passes over the text"),
    ] = 0.0
    input_dropout: Annotated[
        float, Range(0, 1, below=True), Help("Dropout on the embedding.", "Network", default="0")
    ] = 0.0
    variational_dropout: Annotated[bool, Help("One dropout mask for all steps of a sequence.", "Network")] = False
    weight_dropout: Annotated[
        float,
        Range(0, 1, below=True),
        Help("Dropout on the recurrent weights.", "Network", default="by the passes over the text"),
    ] = 0.0
    tie_weights: Annotated[bool, Help("Use the embedding as the output layer's weight.", "Network")] = False
    cell: Annotated[Literal["gru", "lstm", "rnn"], Help("What the recurrent layers are made of.", "Network")] = "gru"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.tie_weights and self.embedding_size != self.hidden_size:
            raise InputError(
                f"tie_weights: the embedding size ({self.embedding_size}) has to equal the hidden size "
                f"({self.hidden_size})"
            )

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every parameter, without those that are tied to another."""
        hidden, rows = self.hidden_size, CELL_SIZES[self.cell][0] * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (self.vocab_size, self.embedding_size)}
        for layer in range(self.num_layers):
            shapes[f"{self.cell}.weight_ih_l{layer}"] = (rows, hidden if layer else self.embedding_size)
            shapes[f"{self.cell}.weight_hh_l{layer}"] = (rows, hidden)
            shapes[f"{self.cell}.bias_ih_l{layer}"] = (rows,)
            shapes[f"{self.cell}.bias_hh_l{layer}"] = (rows,)
        if not self.tie_weights:
            shapes["output.weight"] = (self.vocab_size, hidden)
        shapes["output.bias"] = (self.vocab_size,)
        return shapes

    def parameter_count(self) -> int:
        """The number of parameters."""
        return sum(map(prod, self.parameter_shapes().values()))

    def multiplied_weights(self) -> int:
        """How many weights a token is multiplied with: all matrices but the embedding, whose rows are looked up."""
        hidden, layers = self.hidden_size, self.num_layers
        return (
            CELL_SIZES[self.cell][0] * hidden * (self.embedding_size + hidden + 2 * hidden * (layers - 1))
            + self.vocab_size * hidden
        )

    def training_bytes(self, batch_size: int, seq_length: int) -> int:
        """About how much memory training takes: parameters, gradients, moments and the activations of one batch."""
        rows, hidden = batch_size * seq_length, self.hidden_size
        gates, kept, states = CELL_SIZES[self.cell]
        layer = hidden * (kept + states + (1 if self.dropout else 0))
        shared = hidden * (gates + 2) + 2 * self.embedding_size
        logits = 2 * min(rows * self.vocab_size, max(LOGITS_BYTES // 4, self.vocab_size))
        table = self.vocab_size * (gates * hidden + self.embedding_size)
        shared += self.embedding_size if self.input_dropout else 0
        dropped = self.num_layers * gates * hidden * hidden if self.weight_dropout else 0
        return 4 * (5 * self.parameter_count() + rows * (self.num_layers * layer + shared) + logits + table + dropped)
