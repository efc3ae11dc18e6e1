"""The whole network: gradients, agreement of its methods with each other and with PyTorch."""

import copy
import pickle

import numpy as np
import pytest

import textgru.model.network
from tests.reference import cross_entropy, numerical_gradient, recurrent, relative_error
from textgru.core import AdamW, gradient_norm, set_num_threads
from textgru.core.products import product_kernels, set_product_kernels
from textgru.errors import InputError
from textgru.model.config import CELL_SIZES, NetworkConfig
from textgru.model.network import Network

CONFIGS = [
    NetworkConfig(3, embedding_size=2, hidden_size=5, num_layers=1),
    NetworkConfig(40, embedding_size=3, hidden_size=4, num_layers=2),
    NetworkConfig(7, embedding_size=5, hidden_size=5, num_layers=2, tie_weights=True),
    NetworkConfig(4, embedding_size=2, hidden_size=5, num_layers=2, dropout=0.3),
    NetworkConfig(50, embedding_size=4, hidden_size=4, dropout=0.3, tie_weights=True),
    NetworkConfig(4, embedding_size=3, hidden_size=5, num_layers=2, input_dropout=0.4),
    NetworkConfig(6, embedding_size=4, hidden_size=4, dropout=0.3, input_dropout=0.4, tie_weights=True),
    NetworkConfig(4, 3, 5, 3, dropout=0.4, input_dropout=0.3, variational_dropout=True),
    NetworkConfig(7, embedding_size=3, hidden_size=4, num_layers=2, dropout=0.2, cell="lstm"),
    NetworkConfig(5, embedding_size=3, hidden_size=5, num_layers=2, dropout=0.2, weight_dropout=0.3),
    NetworkConfig(7, embedding_size=5, hidden_size=5, num_layers=2, tie_weights=True, cell="rnn"),
]


def batch(vocab, seq=4, rows=3, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, vocab, (seq, rows)), rng.integers(0, vocab, (seq, rows))


def random_state(network, rows, seed=2):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(array.shape).astype(network.dtype) for array in network.initial_state(rows))


@pytest.fixture
def small_chunks(monkeypatch):
    """The output layer works on two rows of 40 float64 at a time."""
    monkeypatch.setattr(textgru.model.network, "LOGITS_BYTES", 640)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_gradients_against_differences(config):
    network = Network(config, seed=1, dtype=np.float64)
    tokens, targets = batch(config.vocab_size)
    state = random_state(network, 3)
    masks = network.dropout_rng.bit_generator.state

    def loss():
        network.dropout_rng.bit_generator.state = masks  # the same ones each time
        return network.loss_and_grad(tokens, targets, state)[0]

    loss()
    gradients = network.parameters.gradients.copy()
    wanted = numerical_gradient(loss, network.parameters.values)
    for name, view in network.parameters.views(gradients).items():
        assert relative_error(view, network.parameters.views(wanted)[name]) < 1e-6, name


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_gradient_of_what_teachers_say(weight):
    """Against differences: the cross-entropy with a mixture of targets and probabilities."""
    network = Network(NetworkConfig(7, 3, 4, 2), seed=1, dtype=np.float64)
    tokens, targets = batch(7)
    state = random_state(network, 3)
    p = np.random.default_rng(5).dirichlet(np.ones(7), tokens.shape)
    wanted = weight * p + (1 - weight) * np.eye(7)[targets]

    def objective():
        scores, _ = network.scores(tokens, state)
        scores = scores - scores.max(axis=-1, keepdims=True)
        return -(wanted * (scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True)))).sum(axis=-1).mean()

    loss, _ = network.loss_and_grad(tokens, targets, state, taught=(p, weight))
    gradients = network.parameters.gradients.copy()
    assert loss == pytest.approx(network.losses(tokens, targets, state)[0].mean())
    differences = numerical_gradient(objective, network.parameters.values)
    for name, view in network.parameters.views(gradients).items():
        assert relative_error(view, network.parameters.views(differences)[name]) < 1e-6, name


@pytest.mark.parametrize("config", [*CONFIGS[:3], NetworkConfig(7, 3, 4, 2, cell="lstm"), CONFIGS[-1]], ids=str)
def test_loss_equals_the_reference(config):
    network = Network(config, seed=1, dtype=np.float64)
    tokens, targets = batch(config.vocab_size, seq=9, rows=5)
    state = random_state(network, 5)
    p = network.named_parameters()
    cell = {name.partition(".")[2]: array for name, array in p.items() if name.startswith(f"{config.cell}.")}
    y, last = recurrent(config.cell, p["embedding.weight"][tokens], state, cell)
    logits = y @ p.get("output.weight", p["embedding.weight"]).T + p["output.bias"]
    wanted = cross_entropy(logits.reshape(-1, config.vocab_size), targets.reshape(-1))
    loss, new_state = network.loss_and_grad(tokens, targets, state)
    losses, same_state = network.losses(tokens, targets, state)
    assert loss == pytest.approx(wanted.mean(), rel=1e-12)
    np.testing.assert_allclose(losses.reshape(-1), wanted, rtol=1e-10)
    np.testing.assert_allclose(new_state, last, rtol=1e-10)
    np.testing.assert_allclose(same_state, last, rtol=1e-10)
    session = network.session(5)
    session.state = state
    for t in range(9):
        session.step(tokens[t])
        np.testing.assert_allclose(session.logits, logits[t], rtol=1e-9)
    np.testing.assert_allclose(session.state, last, rtol=1e-10)


def test_dropout_is_off_outside_training():
    with_dropout = Network(NetworkConfig(9, 4, 8, 2, dropout=0.5), seed=1)
    without = Network(NetworkConfig(9, 4, 8, 2), seed=1)
    tokens, targets = batch(9)
    state = without.initial_state(3)
    np.testing.assert_array_equal(
        with_dropout.losses(tokens, targets, state)[0], without.losses(tokens, targets, state)[0]
    )
    first, second = (with_dropout.loss_and_grad(tokens, targets, state)[0] for _ in range(2))
    assert first != second, "a new mask each time"


def test_variational_dropout_keeps_its_mask_through_a_sequence(monkeypatch):
    """With embedding and weights of ones, the features that reach the output layer show the masks."""
    seen = []
    for variational in (True, False):
        network = Network(NetworkConfig(3, 4, 40, 1, dropout=0.5, variational_dropout=variational), seed=1)
        monkeypatch.setattr(network.output, "forward", lambda x, out, **_: seen.append(x.copy()) or out.fill(0))
        monkeypatch.setattr(network.output, "backward", lambda dy, out, **_: out.fill(0))
        tokens, targets = batch(3, seq=6, rows=2)
        network.loss_and_grad(tokens, targets, network.initial_state(2))
    kept, fresh = (features.reshape(6, 2, 40) != 0 for features in seen)
    assert (kept == kept[0]).all()
    assert (kept[0, 0] != kept[0, 1]).any(), "each row of the batch has its own"
    assert (fresh != fresh[0]).any()
    assert 0.2 < kept[0].mean() < 0.8


def test_dropout_on_the_input_is_that_of_the_embedding():
    """All of it dropped but for nothing: the loss is that of an embedding of zeros."""
    network = Network(NetworkConfig(5, 4, 8, input_dropout=1 - 1e-12), seed=1)
    zero = Network(NetworkConfig(5, 4, 8), seed=1)
    zero.embedding.parameters["weight"][...] = 0
    tokens, targets = batch(5)
    state = zero.initial_state(3)
    assert network.loss_and_grad(tokens, targets, state)[0] == pytest.approx(
        zero.loss_and_grad(tokens, targets, state)[0], rel=1e-6
    )
    assert not network.embedding.gradients["weight"].any()


@pytest.mark.parametrize("vocab", [5, 900])
def test_training_equals_pytorch(vocab):
    """Three steps of forward, backward, clipping and AdamW from the same weights."""
    torch = pytest.importorskip("torch")
    network = Network(NetworkConfig(vocab, 17, 33, 2), seed=1)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(vocab, 17)
            self.gru = torch.nn.GRU(17, 33, 2)
            self.output = torch.nn.Linear(33, vocab)

    model = Model()
    model.load_state_dict({name: torch.tensor(array) for name, array in network.named_parameters().items()})
    theirs = torch.optim.AdamW(model.parameters(), 1e-2, (0.9, 0.99), weight_decay=0.0)
    ours = AdamW(network.parameters, 1e-2, (0.9, 0.99), weight_decay=0.0)
    state, their_state = network.initial_state(6), torch.zeros(2, 6, 33)
    for step in range(3):
        tokens, targets = batch(vocab, 11, 6, seed=step)
        loss, state = network.loss_and_grad(tokens, targets, state)
        ours.step(gradient_scale=min(1.0, 0.5 / gradient_norm(network.parameters)))
        theirs.zero_grad()
        y, their_state = model.gru(model.embedding(torch.tensor(tokens)), their_state.detach())
        their_loss = torch.nn.functional.cross_entropy(
            model.output(y).reshape(-1, vocab), torch.tensor(targets).reshape(-1)
        )
        their_loss.backward()
        if step == 0:
            for name, parameter in model.named_parameters():
                gradient = network.parameters.views(network.parameters.gradients)[name]
                assert relative_error(gradient, parameter.grad.numpy()) < 1e-5, name
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        theirs.step()
        assert loss == pytest.approx(their_loss.item(), abs=2e-4)


def test_the_sizes_of_a_cell_are_those_of_its_description():
    for name, sizes in CELL_SIZES.items():
        cell = Network(NetworkConfig(3, 2, 2, cell=name)).recurrent.cell
        assert sizes == (len(cell.gates), cell.kept, len(cell.states))


def test_parameter_shapes_are_those_of_the_network():
    for config in CONFIGS:
        arrays = Network(config, seed=0).named_parameters()
        assert {name: array.shape for name, array in arrays.items()} == config.parameter_shapes()
        assert config.parameter_count() == sum(array.size for array in arrays.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 0}, "vocab_size"),
        ({"hidden_size": 2.0}, "hidden_size"),
        ({"num_layers": True}, "num_layers"),
        ({"dropout": 1}, "dropout"),
        ({"input_dropout": -0.1}, "input_dropout"),
        ({"variational_dropout": 1}, "variational_dropout"),
        ({"weight_dropout": 1.0}, "weight_dropout"),
        ({"tie_weights": True, "embedding_size": 3}, "tie_weights"),
    ],
    ids=str,
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        NetworkConfig(**{"vocab_size": 5, **settings})


def test_tokens_out_of_range_are_named():
    network = Network(NetworkConfig(5, 2, 3), seed=0)
    good, bad = np.zeros((1, 1), np.intp), np.full((1, 1), 5)
    state = network.initial_state(1)
    with pytest.raises(IndexError, match="tokens: expected indices from 0 to 4, got 5"):
        network.loss_and_grad(bad, good, state)
    with pytest.raises(IndexError, match="targets: expected indices from 0 to 4, got 5"):
        network.losses(good, bad, state)


@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))], ids=["deep", "pickle"]
)
def test_a_copy_trains_to_the_same_bits(how):
    config = NetworkConfig(7, 16, 16, 2, dropout=0.2, input_dropout=0.1, tie_weights=True)
    network = Network(config, precision="bf16", seed=0)
    network.use_product_kernels("packed")
    tokens = np.random.default_rng(0).integers(0, 7, (5, 3))
    network.loss_and_grad(tokens, tokens, network.initial_state(3))
    copied = how(network)
    results = []
    for each in (copied, network):
        loss, state = each.loss_and_grad(tokens, tokens, each.initial_state(3))
        results.append((loss, np.stack(state).tobytes(), each.parameters.gradients.tobytes()))
        each.parameters.values[...] += 1  # not the other's
        assert (each.named_parameters()["output.bias"] == each.output.parameters["bias"]).all()
    assert results[0] == results[1]
    assert copied.recurrent.precision == "bf16"


@pytest.mark.parametrize("setting", ["process", "network", "auto"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("vocab", "steps", "batch"), [(2, 64, 20), (5, 3, 40), (7, 7, 3), (60, 1, 7), (60, 5, 1), (700, 6, 6)], ids=str
)
def test_threads_make_no_difference_to_a_bit(vocab, steps, batch, precision, setting):
    """Short sequences, few rows and small vocabularies as well; by itself where the CPU has wide vectors."""
    set_product_kernels({"process": "packed", "network": "blas", "auto": "auto"}[setting])
    if product_kernels() == "blas" and setting == "auto":
        return  # then the BLAS multiplies, and only --deterministic promises it
    results = set()
    for threads in (1, 2, 3, 7):
        set_num_threads(threads)
        network = Network(NetworkConfig(vocab, 20, 300, 2), precision=precision, seed=0)
        if setting == "network":
            network.use_product_kernels("packed")
        tokens = np.random.default_rng(1).integers(0, vocab, (steps, batch))
        loss, state = network.loss_and_grad(tokens, tokens, network.initial_state(batch))
        losses, state = network.losses(tokens, tokens, state)
        session = network.session(batch)
        session.state = state
        session.step(tokens[0])
        gradients = network.parameters.gradients.tobytes()
        results.add((loss, gradients, losses.tobytes(), np.stack(state).tobytes(), session.logits.tobytes()))
    assert len(results) == 1
