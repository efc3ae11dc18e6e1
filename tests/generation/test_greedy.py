"""Temperature 0 takes the token with the highest score: held against the same weights run by NumPy, and by PyTorch."""

import numpy as np
import pytest

from tests.reference import recurrent
from tests.texts import sentences
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

LENGTH = 2000


@pytest.fixture(scope="module")
def model():
    """With weights so large that it wanders instead of repeating itself."""
    tokenizer = Tokenizer.train("char", lambda: [sentences(20_000)])
    network = Network(NetworkConfig(tokenizer.vocab_size, 16, 48, 2), seed=5)
    for name, array in network.named_parameters().items():
        array *= 5 if "weight_hh" in name else 3
    return LanguageModel(network, tokenizer)


def tokens_of(model):
    """The prompt's and the new ones."""
    text = model.generate("The ferry", length=LENGTH, temperature=0)
    tokens = model.tokenizer.encode(text)
    assert len(tokens) == len("The ferry") + LENGTH
    assert len({*tokens[-500:]}) > 5
    return tokens


def check(model, tokens, logits):
    """logits (T, V): the scores after each token but the last."""
    logits[:, model.tokenizer.unk_id] = -np.inf
    prompt = len("The ferry")
    np.testing.assert_array_equal(tokens[prompt:], logits[prompt - 1 :].argmax(axis=1))


def test_it_is_that_of_numpy(model):
    tokens, weights = tokens_of(model), model.network.named_parameters()
    state = tuple(array.astype(np.float64) for array in model.network.initial_state(1))
    parameters = {name.removeprefix("gru."): array.astype(np.float64) for name, array in weights.items()}
    x = parameters["embedding.weight"][tokens[:-1]][:, None]
    y, _ = recurrent("gru", x, state, parameters)
    check(model, tokens, y[:, 0] @ parameters["output.weight"].T + parameters["output.bias"])


def test_it_is_that_of_pytorch(model):
    torch = pytest.importorskip("torch")
    tokens, weights = tokens_of(model), model.network.named_parameters()
    config = model.network.config
    gru = torch.nn.GRU(config.embedding_size, config.hidden_size, config.num_layers)
    gru.load_state_dict({n.removeprefix("gru."): torch.tensor(a) for n, a in weights.items() if n.startswith("gru.")})
    with torch.inference_mode():
        y, _ = gru(torch.tensor(weights["embedding.weight"][tokens[:-1]])[:, None])
        logits = y[:, 0] @ torch.tensor(weights["output.weight"]).T + torch.tensor(weights["output.bias"])
    check(model, tokens, logits.numpy().copy())
