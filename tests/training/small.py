"""A trainer of a tiny network on a short text."""

import numpy as np

from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.corpus import Corpus
from textgru.training.config import TrainingConfig
from textgru.training.trainer import Trainer

CYCLE = np.tile(np.array([0, 1, 2, 3, 4, 5, 6, 1, 1, 5], np.uint8), 600)


def trainer(saved=None, tokens=CYCLE, validation=None, seed=1, checkpoint=None, reduce=None, dropout=0.0, **settings):
    """`saved` collects (evaluation, weights), or is what to call; `settings` are fields of TrainingConfig."""
    config = TrainingConfig(**{"batch_size": 5, "seq_length": 20, "warmup": 5, "learning_rate": 0.01, **settings})
    validation = tokens[-500:] if validation is None else validation
    rng = np.random.default_rng(seed)
    network = Network(NetworkConfig(7, 8, 16, dropout=dropout), seed=rng)
    corpus = Corpus(tokens[:-500], validation, len(tokens), len(validation))

    def save(event):
        if callable(saved):
            saved(event)
        elif saved is not None:
            saved.append((event, network.parameters.values.copy()))

    return Trainer(network, corpus, config, save=save, rng=rng, checkpoint=checkpoint, reduce=reduce)
