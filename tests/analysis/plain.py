"""What a network says of a text, computed in plain float64 NumPy."""

import numpy as np

from tests.reference import log_softmax, recurrent


def log_probabilities(network, tokens):
    """(n - 1, V): the log-probability of every token after each of tokens (n,) but the last, given all up to it."""
    parameters = {name: array.astype(np.float64) for name, array in network.named_parameters().items()}
    cell = network.config.cell
    own = {name.removeprefix(f"{cell}."): array for name, array in parameters.items() if name.startswith(f"{cell}.")}
    state = tuple(array.astype(np.float64) for array in network.initial_state(1))
    x = parameters["embedding.weight"][tokens[:-1].astype(int)][:, None]
    y, _ = recurrent(cell, x, state, own)
    return log_softmax(y[:, 0] @ parameters["output.weight"].T + parameters["output.bias"])


def of_targets(log_p, tokens):
    """The log-probability (n - 1,) of each token but the first."""
    return log_p[np.arange(len(log_p)), tokens[1:].astype(int)]
