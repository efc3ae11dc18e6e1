"""textgru sample --interactive, as somebody types."""

import pytest

import textgru


@pytest.fixture
def talk(cli, run):
    """What is written where these lines are typed."""

    def call(*lines, options=("-s", 1, "-n", 30)):
        result = cli("sample", run, "-i", *options, stdin="".join(line + "\n" for line in lines))
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


@pytest.fixture(scope="module")
def model(run):
    return textgru.load(run)


def test_each_line_goes_on_from_all_before(talk, model):
    """With the state and the random numbers of one long text."""
    assert talk("The ferry", "").splitlines() == (
        "".join(model.stream("The ferry", seed=1, length=30)) + "\n"
        + "".join(model.stream("The ferry", seed=1, length=60))[30:] + "\n\n"
    ).splitlines()  # fmt: skip
    first = model.stream("The ferry", seed=1, length=30)
    text = "".join(first)
    second = "".join(model.stream("\ntar", state=first.state, length=30))
    assert talk("The ferry", r"\ntar") == f"{text}\n{second}\n\n"
    assert talk("", options=("-s", 1, "-n", 30, "-p", "The ferry")).startswith(f"The ferry{text}\n")


def test_settings_can_be_changed(talk, model):
    cold = "".join(model.stream("The", temperature=0, length=7))
    assert talk("/temperature 0", "/length 7", "The") == f"{cold}\n\n"
    shown = talk("/top-k 5", "/length off", "/length-chars 9", r"/stop \n", "/seed 3", "/show").splitlines()
    values = dict(line.split() for line in shown if line)
    assert [values[name] for name in ("temperature", "top-k", "top-p", "length", "length-chars", "stop", "seed")] == [
        "0.8", "5", "off", "off", "9", r"('\n',)", "3",
    ]  # fmt: skip
    assert dict(line.split() for line in talk("/top-k 5", "/top-k off", "/show").splitlines() if line)["top-k"] == "off"
    drawn = "".join(model.stream("The", seed=3, length=30))
    assert talk("tar", "/reset", "/seed 3", "The").endswith(f"\n{drawn}\n\n")


def test_a_line_can_be_taken_back(talk, model):
    first = model.stream("The", temperature=0, length=30)
    text = "".join(first)
    after = "".join(model.stream(" tar", state=first.state, temperature=0, length=30))
    other = "".join(model.stream("wool", state=first.state, temperature=0, length=30))
    end = ("The" + text)[-60:]
    assert talk("The", " tar", "/undo", "wool", "/undo", "/undo", "/undo", options=("--temp", 0, "-n", 30)) == (
        f"{text}\n{after}\n(it ends with {end!r})\n{other}\n(it ends with {end!r})\n(back at the beginning)\n"
        "(nothing to take back)\n\n"
    )


def test_what_is_wrong_is_said_and_nothing_ends(talk):
    said = talk("/top-k x", "/nothing", "/stop-regex (", "/seed -1", "/length", "/help", "/quit", "never read")
    assert "(top_k: expected an integer from 1 up, got 'x')" in said
    assert "(no command /nothing; /help lists them)" in said
    assert "(stop_regex: no regular expression" in said
    assert "(seed: expected an integer from 0 up" in said
    assert "/undo" in said
    assert "never read" not in said
