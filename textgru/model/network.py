"""The network: token ids in, scores of the next token out. Embedding, recurrent stack, output layer; knows no text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from textgru.core import (
    GRU,
    LSTM,
    RNN,
    Embedding,
    Linear,
    PackedNetwork,
    Parameters,
    Products,
    Recurrent,
    RowOrder,
    Session,
    Workspace,
    check_array,
    check_index,
    flatten,
    softmax_cross_entropy,
)
from textgru.model.config import LOGITS_BYTES, NetworkConfig

CELLS: dict[str, type[Recurrent[Any]]] = {"gru": GRU, "lstm": LSTM, "rnn": RNN}

# The recurrent state: an array (L, B, H) for each of the cell's.
State = tuple[np.ndarray, ...]


class Network:
    """Embedding -> recurrent stack -> linear output layer, in float32 (float64 for checking gradients).

    T steps, B rows of a batch, L layers, H hidden units, V the vocabulary. A state is a tuple of arrays (L, B, H), one
    for each array of the cell's state: h, and of an LSTM also c. `parameters` is one flat array of all parameters with
    PyTorch's names: embedding.weight, gru.weight_ih_l0 (or lstm., rnn.), ..., output.weight, output.bias.
    Initial weights are drawn from `seed`, dropout's masks from `dropout_rng`, or from `seed` too where it isn't given.
    `precision` "bf16" rounds the inputs of the products in loss_and_grad to bfloat16 (textgru.core.parameters.Layer).
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        precision: str = "fp32",
        seed: int | np.random.Generator | None = None,
        dropout_rng: np.random.Generator | None = None,
        dtype: object = np.float32,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.embedding_size, dtype=dtype, seed=rng)
        self.recurrent: Recurrent[Any] = CELLS[config.cell](
            config.embedding_size,
            config.hidden_size,
            config.num_layers,
            dropout=config.dropout,
            variational_dropout=config.variational_dropout,
            weight_dropout=config.weight_dropout,
            dtype=dtype,
            seed=rng,
        )
        self.output = Linear(config.hidden_size, config.vocab_size, dtype=dtype, seed=rng)
        self._use_products(precision, None)
        if config.tie_weights:
            self.embedding.parameters["weight"][...] *= config.hidden_size**-0.5
        self.parameters: Parameters = flatten(
            {"embedding": self.embedding, config.cell: self.recurrent, "output": self.output},
            ties={"output.weight": "embedding.weight"} if config.tie_weights else None,
        )
        self.dtype = self.recurrent.dtype
        if dropout_rng is not None:
            self.dropout_rng = dropout_rng
        self._workspace = Workspace(self.dtype)

    @property
    def dropout_rng(self) -> np.random.Generator:
        """What the masks of dropout are drawn from."""
        return self.recurrent.dropout_rng

    @dropout_rng.setter
    def dropout_rng(self, rng: np.random.Generator) -> None:
        self.recurrent.dropout_rng = rng

    def use_product_kernels(self, kernels: str | None) -> None:
        """What multiplies this network's float32 matrices: "auto", "packed" (the same bits for any number of threads)
        or "blas", whatever is set for the process; None: what is set for the process (textgru.core.products).

        Raises ValueError for another name.
        """
        self._use_products(self.recurrent.precision, kernels)

    def _use_products(self, precision: str, kernels: str | None) -> None:
        training, inference = Products(precision, kernels), Products(kernels=kernels)
        for layer in (self.recurrent, self.output):
            layer.use_products(training, inference)

    def named_parameters(self) -> dict[str, np.ndarray]:
        """Name -> view, without the names that share another's array."""
        views = self.parameters.views(self.parameters.values)
        return {name: views[name] for name in self.parameters.slices}

    def initial_state(self, batch: int) -> State:
        """Zeros (L, B, H)."""
        shape = (self.config.num_layers, batch, self.config.hidden_size)
        return tuple(np.zeros(shape, self.dtype) for _ in self.recurrent.cell.states)

    def loss_and_grad(
        self,
        tokens: np.ndarray,
        targets: np.ndarray,
        state: State,
        *,
        place: tuple[int, int] | None = None,
        taught: tuple[np.ndarray, float] | None = None,
        ready: Callable[[int], None] | None = None,
    ) -> tuple[float, State]:
        """The mean negative log-likelihood of targets (T, B), in nats, and the state after the last step.

        tokens and targets (T, B) intp; `state` is that before the first step. Fills
        `parameters.gradients` with the gradient of the mean. Applies dropout. `place` (first, all): these rows are
        those from the first on, of a batch of that many in all, and have the masks that they would have in it; loss and
        gradient are then their part of its mean. `taught` (p, weight): p (T, B, V) are probabilities that the gradient
        draws towards, by this weight from 0 to 1, in place of the targets alone; the loss is still that of the targets.
        `ready(first)` is called when `parameters.gradients[first:]` are complete, once for each layer but the first.
        """
        self._check(tokens, targets)
        config, (steps, batch) = self.config, tokens.shape
        order = RowOrder(steps, batch, place)
        tokens, targets = order.take(tokens), order.take(targets)
        input_key, key = self._dropout_key(config.input_dropout), self._dropout_key(config.dropout)
        variational = config.variational_dropout
        if input_key:
            x = self.embedding.forward(tokens)
            order.drop(x, config.input_dropout, input_key, variational=variational)
            y, state = self.recurrent.forward_rows(x, None, order, state)
        else:
            y, state = self.recurrent.forward_rows(self.embedding.parameters["weight"], tokens, order, state)
        features = y
        if key:
            features = self._workspace.get("dropped", *y.shape)
            order.drop(features, config.dropout, key, variational=variational, source=y)
        rows, vocab = order.rows, config.vocab_size
        targets_of_all = rows if place is None else steps * place[1]
        dfeatures = self._workspace.get("dfeatures", *features.shape)
        total = 0.0
        for chunk in self._chunks(rows):
            logits = self._workspace.get("logits", chunk.stop - chunk.start, vocab)
            dlogits = self._workspace.get("dlogits", chunk.stop - chunk.start, vocab)
            self.output.forward(features[chunk], out=logits)
            losses = softmax_cross_entropy(logits, targets[chunk], dlogits=dlogits, scale=1 / targets_of_all)
            if taught is not None:
                part = taught[1] / targets_of_all
                dlogits -= part * order.take(taught[0])[chunk]
                dlogits[np.arange(len(dlogits)), targets[chunk]] += part
            self.output.backward(dlogits, accumulate=chunk.start > 0, out=dfeatures[chunk])
            total += float(losses.sum())
        if key:
            order.drop(dfeatures, config.dropout, key, variational=variational)
        dx, _ = self.recurrent.backward_rows(dfeatures, ready=ready and (lambda layer: ready(self._first_of(layer))))
        assert dx is not None
        if input_key:
            order.drop(dx, config.input_dropout, input_key, variational=variational)
            self.embedding.backward(dx, accumulate=config.tie_weights)
        elif config.tie_weights:
            self.embedding.gradients["weight"][...] += dx
        else:
            self.embedding.gradients["weight"][...] = dx
        return total / targets_of_all, state

    def losses(self, tokens: np.ndarray, targets: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """The negative log-likelihood of each target (T, B), in nats, float64, and the state after the last step.

        Arguments as in loss_and_grad; no gradient, no dropout.
        """
        self._check(tokens, targets)
        order = RowOrder(*tokens.shape)
        weight, targets = self.embedding.parameters["weight"], order.take(targets)
        y, state = self.recurrent.forward_rows(weight, order.take(tokens), order, state, training=False)
        losses = np.empty(order.rows)
        for chunk in self._chunks(order.rows):
            logits = self._workspace.get("logits", chunk.stop - chunk.start, self.config.vocab_size)
            self.output.forward(y[chunk], training=False, out=logits)
            losses[chunk] = softmax_cross_entropy(logits, targets[chunk])
        return order.put(losses), state

    def scores(self, tokens: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """The scores (T, B, V) of the token after each of tokens (T, B) intp, and the state after the last step; no
        dropout. `state` is that before the first step."""
        self._check(tokens, tokens)
        order = RowOrder(*tokens.shape)
        weight = self.embedding.parameters["weight"]
        y, state = self.recurrent.forward_rows(weight, order.take(tokens), order, state, training=False)
        return order.put(self.output.forward(y, training=False)), state

    def pack(self, precision: str = "fp32") -> PackedNetwork:
        """The weights as they are now, for sessions: "fp32", "bf16" or "int8" (textgru.core.PackedNetwork)."""
        return PackedNetwork(self.embedding.parameters["weight"], self.recurrent, self.output, precision=precision)

    def session(self, rows: int = 1, *, precision: str = "fp32") -> Session:
        """The fast way to read and draw tokens, with the weights as they are now, from a state of zeros.

        They are packed anew each time: more sessions than one share what `pack` gives.
        """
        return Session(self.pack(precision), rows)

    def _dropout_key(self, probability: float) -> int:
        """That of a new mask; 0 where there is no dropout."""
        return int(self.dropout_rng.integers(1, 2**64, dtype=np.uint64)) if probability else 0

    def _first_of(self, layer: int) -> int:
        """Where the parameters of a recurrent layer begin; those of what follows it come after them."""
        first: int = self.parameters.slices[f"{self.config.cell}.weight_ih_l{layer}"].start
        return first

    def _check(self, tokens: np.ndarray, targets: np.ndarray) -> None:
        check_index("tokens", tokens, ("seq", "batch"), self.config.vocab_size)
        check_array("targets", targets, np.dtype(np.intp), tokens.shape)

    def _chunks(self, rows: int) -> list[slice]:
        size = max(1, LOGITS_BYTES // (self.config.vocab_size * self.dtype.itemsize))
        return [slice(first, min(first + size, rows)) for first in range(0, rows, size)]
