"""The estimators: scikit-learn's own checks, sequences of any length, early stopping, what is refused."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from textgru.core import set_num_threads
from textgru.sklearn import GRUClassifier, GRURegressor

ESTIMATORS = {
    "classifier": GRUClassifier(hidden_size=16, max_iter=20, random_state=0),
    "regressor": GRURegressor(hidden_size=16, max_iter=60, random_state=0),
}


@pytest.fixture(autouse=True)
def _one_thread():
    set_num_threads(1)


@pytest.mark.filterwarnings("ignore")  # what the checks themselves warn of
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_checks_of_scikit_learn(name):
    results = check_estimator(clone(ESTIMATORS[name]), on_fail=None, on_skip=None)
    assert len(results) > 40
    assert [(one["check_name"], one["exception"]) for one in results if one["status"] == "failed"] == []
    # Arrays of other libraries, which scikit-learn checks only where SCIPY_ARRAY_API is set, or there is pandas.
    others = {"check_array_api_input", "check_classifier_data_not_an_array", "check_regressor_data_not_an_array"}
    assert {one["check_name"] for one in results if one["status"] == "skipped"} <= others


def sequences(count=120, seed=0):
    """Of two features; and the first step's first feature, which is to be predicted."""
    rng = np.random.default_rng(seed)
    rows = [rng.standard_normal((rng.integers(3, 9), 2)) for _ in range(count)]
    return rows, np.array([row[0, 0] for row in rows])


def test_sequences_of_different_lengths():
    rows, first = sequences()
    unseen, theirs = sequences(60, seed=1)
    names = np.where(first > 0, "up", "down")
    classifier = GRUClassifier(hidden_size=16, max_iter=40, random_state=0).fit(rows, names)
    assert classifier.score(unseen, np.where(theirs > 0, "up", "down")) > 0.9
    assert list(classifier.classes_) == ["down", "up"]
    probabilities = classifier.predict_proba(unseen)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_array_equal(classifier.classes_[probabilities.argmax(1)], classifier.predict(unseen))
    regressor = GRURegressor(hidden_size=16, max_iter=60, random_state=0).fit(rows, first)
    assert regressor.score(unseen, theirs) > 0.8


def test_a_sequence_is_the_same_beside_longer_ones():
    rows, first = sequences()
    model = GRURegressor(hidden_size=8, max_iter=2, random_state=0).fit(rows, first)
    together = model.predict(rows)
    np.testing.assert_allclose(np.concatenate([model.predict([row]) for row in rows]), together, rtol=1e-4, atol=1e-5)


def test_arrays_of_two_and_three_dimensions():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 7))
    y = np.stack([x[:, -1], x[:, -2]], 1)
    flat = GRURegressor(hidden_size=16, max_iter=60, random_state=0).fit(x, y)
    assert flat.score(x, y) > 0.8
    assert flat.predict(x).shape == (60, 2)
    deep = GRURegressor(hidden_size=16, max_iter=60, random_state=0).fit(x[:, :, None], y)
    np.testing.assert_array_equal(deep.predict(x[:, :, None]), flat.predict(x))
    assert deep.predict(x[:, :4, None]).shape == (60, 2)
    listed = GRURegressor(hidden_size=16, max_iter=60, random_state=0).fit(list(x[:, :, None]), y)
    np.testing.assert_array_equal(listed.predict(x[:, :, None]), flat.predict(x))


def test_random_state():
    rows, first = sequences(40)
    fits = [GRURegressor(hidden_size=4, max_iter=2, random_state=seed).fit(rows, first) for seed in (1, 1, 2)]
    predictions = [fit.predict(rows) for fit in fits]
    np.testing.assert_array_equal(predictions[0], predictions[1])
    assert (predictions[0] != predictions[2]).any()


def test_early_stopping_keeps_the_best_weights():
    rng = np.random.default_rng(0)
    rows, noise = sequences(60)[0], rng.integers(0, 2, 60)  # there is nothing to learn
    options = {"hidden_size": 32, "max_iter": 300, "random_state": 0, "early_stopping": True, "n_iter_no_change": 5}
    model = GRUClassifier(**options, validation_fraction=0.3).fit(rows, noise)
    best = int(np.argmin(model.validation_losses_))
    assert model.n_iter_ == len(model.validation_losses_) == best + 1 + 5 < 300
    again = GRUClassifier(**{**options, "max_iter": best + 1}, validation_fraction=0.3).fit(rows, noise)
    np.testing.assert_array_equal(model.predict_proba(rows), again.predict_proba(rows))


def test_it_stands_in_pipelines_and_searches():
    x = np.random.default_rng(0).standard_normal((40, 6))
    y = x[:, -1] > 0
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GRUClassifier(max_iter=15, random_state=0)),
        {"gruclassifier__hidden_size": [2, 16]},
        cv=2,
    ).fit(x, y)
    assert search.best_score_ > 0.7


BAD = {
    "hidden_size: expected an integer from 1 up, got 0": ({"hidden_size": 0}, {}),
    "learning_rate: expected a number above 0, got -1": ({"learning_rate": -1}, {}),
    "validation_fraction: expected a number between 0 and 1, got 1": ({"validation_fraction": 1}, {}),
    "dropout: expected 0 <= dropout < 1": ({"dropout": 1.0}, {}),
    "X: expected arrays": ({}, {"X": [np.zeros((3, 2)), np.zeros((3, 4))]}),
    "X and y: expected as many sequences as targets, got 2 and 3": ({}, {"X": [np.zeros((3, 2)), np.zeros((4, 2))]}),
    "X: Input contains NaN": ({}, {"X": [np.full((3, 2), np.nan)] * 3}),
    "Found array with dim 4": ({}, {"X": np.zeros((3, 2, 2, 2))}),
    "X: expected sequences of one step": ({}, {"X": np.zeros((3, 0, 2))}),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    settings, data = BAD[message]
    with pytest.raises(ValueError, match="^" + message):
        GRURegressor(**settings).fit(**{"X": np.zeros((3, 4)), "y": [0.0, 1.0, 2.0], **data})


def test_other_features_than_those_of_the_training_are_refused():
    rows, first = sequences(20)
    model = GRURegressor(max_iter=1).fit(rows, first)
    with pytest.raises(ValueError, match="X has 3 features, but GRURegressor is expecting 2 features as input"):
        model.predict([np.zeros((4, 3))])
