"""What follows where settings are not given."""

import pytest

import textgru
from tests.texts import sentences
from textgru.core import set_num_threads, simd
from textgru.errors import InputError
from textgru.training.defaults import PRESETS, check, resolve


def settings(network=None, training=None, *, preset=None, tokens=1_000_000, vocab=65):
    """As on a CPU of one kind, whatever this one is."""
    simd.set_instruction_set("baseline")
    set_num_threads(2)
    return resolve(
        network or {}, {"precision": "fp32", **(training or {})}, preset=preset, train_tokens=tokens, vocab_size=vocab
    )


def sizes(**arguments):
    return [list(PRESETS).index(settings(**arguments, training=training).preset) for training in TIMES]


TIMES = [{"max_minutes": minutes} for minutes in (0.1, 1, 10, 100, 1000, 10_000)]


def test_more_time_brings_a_larger_network():
    got = sizes()
    assert got == sorted(got)
    assert got[0] == 0
    assert got[-1] > 0


def test_a_short_text_gets_no_large_network_however_long_it_takes():
    assert max(sizes(tokens=5_000)) == 0
    assert sizes(tokens=20_000)[-1] < sizes(tokens=20_000_000)[-1] == len(PRESETS) - 1
    assert settings(training=TIMES[-1], tokens=250_000).preset == "small"
    assert settings(training=TIMES[-1], tokens=1_000_000).preset == "medium"


def test_several_layers_only_where_the_text_is_long_enough_to_need_little_dropout():
    time = {"max_minutes": 500}
    short, long = settings(training=time), settings(training=time, tokens=30_000_000)
    assert (short.preset, short.network.dropout, short.network.weight_dropout) == ("medium", 0.2, 0.1)
    assert (long.preset, long.network.num_layers) == ("large", 2)
    assert long.network.dropout <= 0.1


def test_more_threads_bring_a_larger_network_in_the_same_time():
    few = settings(training={"max_minutes": 3}).preset
    set_num_threads(64)
    many = resolve({}, {"precision": "fp32", "max_minutes": 3}, preset=None, train_tokens=10**8, vocab_size=65).preset
    assert list(PRESETS).index(many) > list(PRESETS).index(few)


def test_few_steps_are_little_time():
    assert settings(training={"max_steps": 10, "max_minutes": 1000}).preset == "tiny"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_by_name(preset):
    network = settings(preset=preset).network
    assert (network.hidden_size, network.num_layers, network.embedding_size) == (
        PRESETS[preset].hidden_size, PRESETS[preset].num_layers, PRESETS[preset].embedding_size,
    )  # fmt: skip


def test_what_is_given_wins():
    got = settings(
        {"num_layers": 3, "dropout": 0.25, "embedding_size": 7}, {"learning_rate": 0.5, "max_minutes": 1}, preset="tiny"
    )
    assert (got.network.hidden_size, got.network.num_layers, got.network.embedding_size) == (128, 3, 7)
    assert (got.network.dropout, got.training.learning_rate, got.preset) == (0.25, 0.5, "tiny")
    assert settings({"hidden_size": 100}).preset is None
    assert settings({"dropout": 0.0}).network.dropout == 0


@pytest.mark.parametrize("preset", ["small", "medium"])
def test_both_dropouts_follow_from_the_passes_unless_one_is_given(preset):
    def dropouts(epochs, **given):
        network = settings(given, {"epochs": epochs, "max_minutes": 10_000}, preset=preset).network
        return network.dropout, network.weight_dropout

    exposure = settings(preset=preset).network.multiplied_weights() / 1_000_000  # of one pass
    assert dropouts(4.9 / exposure) == (0.0, 0.0)
    assert dropouts(9 / exposure) == (0.1, 0.0)
    assert dropouts(11 / exposure) == (0.0, 0.1)
    assert dropouts(40 / exposure) == (0.2, 0.1)
    assert dropouts(20)[0] <= dropouts(60)[0] <= 0.5
    assert dropouts(60)[0] >= 0.1
    assert dropouts(60, dropout=0.2) == (0.2, 0.0)
    assert dropouts(60, weight_dropout=0.3) == (0.0, 0.3)


def test_tied_weights_need_equal_widths():
    assert settings({"tie_weights": True}, preset="medium").network.embedding_size == 512
    with pytest.raises(InputError, match=r"tie_weights: .*\(64\) has to equal the hidden size \(512\)"):
        settings({"tie_weights": True, "embedding_size": 64}, preset="medium")


def test_large_networks_learn_more_slowly():
    rates = [settings({"hidden_size": size}).training.learning_rate for size in (64, 256, 512, 1024)]
    assert rates[0] == rates[1] == 4e-3
    assert rates[1] > rates[2] > rates[3]
    assert settings({"hidden_size": 1024}, {"min_lr": 3.9e-3}).training.learning_rate == 3.9e-3


def test_the_optimizer_is_by_the_size():
    for hidden, wanted in ((16, "muon"), (256, "muon"), (257, "adamw"), (512, "adamw")):
        assert settings({"hidden_size": hidden}).training.optimizer == wanted
    for preset, wanted in (("tiny", "muon"), ("small", "muon"), ("medium", "adamw"), ("large", "adamw")):
        assert settings(preset=preset).training.optimizer == wanted
        for given in ("muon", "adamw"):
            assert settings(preset=preset, training={"optimizer": given}).training.optimizer == given


def test_what_can_not_be_is_named_before_a_text_is_read():
    with pytest.raises(InputError, match="preset: expected one of tiny, small, medium, large, got 'huge'"):
        check({}, {}, "huge")
    with pytest.raises(InputError, match="max_steps"):
        check({}, {"max_steps": 0}, None)


def test_python_takes_presets_too(tmp_path):
    (tmp_path / "text.txt").write_text(sentences(20_000))
    model = textgru.train(tmp_path / "text.txt", tmp_path / "run", preset="tiny", max_steps=1)
    assert model.network.config.hidden_size == 128
    assert model.run.config["preset"] == "tiny"
    with pytest.raises(InputError, match="preset: expected one of"):
        textgru.train(tmp_path / "text.txt", tmp_path / "other", preset="huge")
