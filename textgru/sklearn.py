"""Estimators for those who know scikit-learn: a GRU that reads sequences, with fit, predict and score.

from textgru.sklearn import GRUClassifier, GRURegressor

Needs scikit-learn (the extra `sklearn`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_array, check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("textgru.sklearn: this needs scikit-learn; install it: pip install 'textgru[sklearn]'") from error

from textgru.core import GRU, AdamW, Linear, clip_grad_norm, flatten, softmax_cross_entropy

# X as the estimators keep it: arrays (T_i, F) float32, one a sequence.
Sequences = list[np.ndarray]

EVALUATION_ROWS = 256


class _GRUEstimator(BaseEstimator):  # type: ignore[misc]
    """What both have in common: how X is read, the training loop, the scores of a batch."""

    def __init__(
        self,
        hidden_size: int = 32,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        learning_rate: float = 1e-2,
        weight_decay: float = 1e-4,
        batch_size: int = 32,
        max_iter: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
    ) -> None:
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state

    def _check_settings(self) -> None:
        for name in ("hidden_size", "num_layers", "batch_size", "max_iter", "n_iter_no_change"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name}: expected an integer from 1 up, got {value!r}")
        if not isinstance(self.learning_rate, Real) or not 0 < float(self.learning_rate) < np.inf:
            raise ValueError(f"learning_rate: expected a number above 0, got {self.learning_rate!r}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction: expected a number between 0 and 1, got {self.validation_fraction!r}"
            )

    def _sequences(self, X: Any, *, reset: bool) -> Sequences:  # noqa: N803
        """X as a list of arrays (T_i, F); of a 2-D array every row is a sequence of single numbers."""
        if _is_list_of_arrays(X):
            rows = [np.asarray(one, np.float32) for one in X]
            if any(one.ndim != 2 or not one.size for one in rows) or len({one.shape[1] for one in rows}) != 1:
                raise ValueError("X: expected arrays (T_i, F) of one step and more, all of the same F")
            if not all(np.isfinite(one).all() for one in rows):
                raise ValueError("X: Input contains NaN or infinity; leave such sequences out or fill them")
            self._same_features(rows[0].shape[1], reset)
            return rows
        if not _is_3d(X):  # scikit-learn's own: columns are features
            return list(validate_data(self, X, dtype=np.float32, reset=reset)[:, :, None])
        X = check_array(X, dtype=np.float32, allow_nd=True, input_name="X")  # noqa: N806
        if not X.size:
            raise ValueError(f"X: expected sequences of one step and one feature and more, got shape {X.shape}")
        self._same_features(X.shape[2], reset)
        return list(X)

    def _same_features(self, features: int, reset: bool) -> None:
        if reset:
            self.n_features_in_ = features
        elif features != self.n_features_in_:
            raise ValueError(
                f"X has {features} features, but {type(self).__name__} is expecting {self.n_features_in_} features as "
                "input"
            )

    def _fit(self, rows: Sequences, targets: np.ndarray, outputs: int) -> None:
        """Trains on rows and targets (len(rows), ...), as `_loss` takes them."""
        self._check_settings()
        random = check_random_state(self.random_state)
        seed = np.random.default_rng(random.randint(2**31 - 1))
        every = np.concatenate(rows)
        self._mean, self._spread = every.mean(0), every.std(0)
        self._spread[self._spread == 0] = 1
        self._gru = GRU(rows[0].shape[1], self.hidden_size, self.num_layers, dropout=self.dropout, seed=seed)
        self._head = Linear(self.hidden_size, outputs, seed=seed)
        parameters = flatten({"gru": self._gru, "head": self._head})
        optimizer = AdamW(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        order = seed.permutation(len(rows))
        held = int(np.ceil(self.validation_fraction * len(rows))) if self.early_stopping else 0
        if held and held == len(rows):
            raise ValueError(f"early_stopping: expected more than {held} samples, to hold some out")
        held_out, train = order[:held], order[held:]
        self.loss_curve_: list[float] = []
        self.validation_losses_: list[float] = []
        best, best_weights, since = np.inf, None, 0
        for iteration in range(1, self.max_iter + 1):
            self.n_iter_, total = iteration, 0.0
            for some in _batches(seed.permutation(train), rows, self.batch_size):
                x, lengths = self._padded([rows[i] for i in some])
                scores = self._scores(x, lengths, training=True)
                losses, dscores = self._loss(scores, targets[some])
                dlast = self._head.backward(dscores)
                self._backward(dlast, x, lengths)
                clip_grad_norm(parameters, 1.0)
                optimizer.step()
                total += losses.sum()
            self.loss_curve_.append(total / len(train))
            if not np.isfinite(total):
                raise ValueError(f"the loss is not finite after {self.n_iter_} iterations; lower learning_rate")
            if held:
                loss = self._loss(self._decide([rows[i] for i in held_out]), targets[held_out])[0].mean()
                self.validation_losses_.append(float(loss))
                since += 1
                if loss < best:
                    best, best_weights, since = loss, parameters.values.copy(), 0
                if since >= self.n_iter_no_change:
                    break
        if best_weights is not None:
            parameters.values[...] = best_weights

    def _padded(self, rows: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """x (T, B, F), standardised, zeros after the end of each; and the lengths (B,)."""
        lengths = np.array([len(one) for one in rows], np.intp)
        x = np.zeros((lengths.max(), len(rows), rows[0].shape[1]), np.float32)
        for i, one in enumerate(rows):
            x[: len(one), i] = (one - self._mean) / self._spread
        return x, lengths

    def _scores(self, x: np.ndarray, lengths: np.ndarray, *, training: bool) -> np.ndarray:
        """(B, outputs), from the state after each row's last step."""
        y, _ = self._gru.forward(x, training=training)
        return self._head.forward(y[lengths - 1, np.arange(len(lengths))], training=training)

    def _backward(self, dlast: np.ndarray, x: np.ndarray, lengths: np.ndarray) -> None:
        dy = np.zeros((*x.shape[:2], self.hidden_size), np.float32)
        dy[lengths - 1, np.arange(len(lengths))] = dlast
        self._gru.backward(dy, input_gradient=False)

    def _decide(self, rows: Sequences) -> np.ndarray:
        """The scores (len(rows), outputs) of sequences, of similar lengths together."""
        scores = np.empty((len(rows), self._head.out_features), np.float32)
        for some in _batches(np.arange(len(rows)), rows, EVALUATION_ROWS):
            scores[some] = self._scores(*self._padded([rows[i] for i in some]), training=False)
        return scores

    def _loss(self, scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The losses (B,) and the gradient of their mean, as scores (B, outputs)."""
        raise NotImplementedError


class GRUClassifier(ClassifierMixin, _GRUEstimator):  # type: ignore[misc]
    """A GRU that reads a sequence, and a linear layer and softmax on its last state.

    X: an array (sequences, steps, features), or a list of arrays (steps, features) of any lengths; of a 2-D array every
    row is a sequence of single numbers. y: a class each. Features are standardised. `max_iter` passes over the data, in
    batches of `batch_size`, by AdamW with `learning_rate` and `weight_decay`, gradients clipped to norm 1.
    `early_stopping` holds out `validation_fraction`, ends after `n_iter_no_change` passes that don't lower its loss,
    and keeps the best weights. `random_state` an int, a RandomState or None, as everywhere in scikit-learn.

    After fit: classes_, n_features_in_, n_iter_, loss_curve_ (a mean loss a pass), validation_losses_.
    """

    def fit(self, X: Any, y: Any) -> GRUClassifier:  # noqa: N803
        """Trains on sequences and their classes (n,). Raises ValueError for what doesn't fit."""
        y = _targets(self, y)
        rows = self._sequences(X, reset=True)
        _same_number(rows, y)
        check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y: expected two classes and more, got one class: {self.classes_[0]!r}")
        self._fit(rows, targets.astype(np.intp), len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """The probabilities (n, classes), in the order of classes_."""
        check_is_fitted(self)
        scores = self._decide(self._sequences(X, reset=False)).astype(np.float64)
        odds = np.exp(scores - scores.max(1, keepdims=True))
        return np.asarray(odds / odds.sum(1, keepdims=True))

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The likeliest class of each (n,)."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])

    def _loss(self, scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dscores = np.empty_like(scores)
        return softmax_cross_entropy(scores, targets, dlogits=dscores, scale=1 / len(targets)), dscores


class GRURegressor(RegressorMixin, _GRUEstimator):  # type: ignore[misc]
    """A GRU that reads a sequence, and a linear layer on its last state: least squares. See GRUClassifier.

    y: a number each (n,), or several (n, outputs); standardised for the training.
    After fit: n_features_in_, n_iter_, loss_curve_ (half the mean squared error of standardised y), validation_losses_.
    """

    def fit(self, X: Any, y: Any) -> GRURegressor:  # noqa: N803
        """Trains on sequences and their numbers (n,) or (n, outputs). Raises ValueError for what doesn't fit."""
        y = _targets(self, y, numeric=True)
        rows = self._sequences(X, reset=True)
        _same_number(rows, y)
        targets = y.reshape(len(y), -1)
        self._y_mean, self._y_spread = targets.mean(0), targets.std(0)
        self._y_spread[self._y_spread == 0] = 1
        self._one = y.ndim == 1
        self._fit(rows, ((targets - self._y_mean) / self._y_spread).astype(np.float32), targets.shape[1])
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The numbers (n,) or (n, outputs), as y was."""
        check_is_fitted(self)
        values = self._decide(self._sequences(X, reset=False)) * self._y_spread + self._y_mean
        return np.asarray(values[:, 0] if self._one else values)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _loss(self, scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        error = scores - targets
        return 0.5 * (error.astype(np.float64) ** 2).mean(1), error / np.float32(error.size)


def _is_list_of_arrays(X: Any) -> bool:  # noqa: N803
    """A list or tuple of 2-D arrays, or an object array of them."""
    if isinstance(X, np.ndarray):
        return X.dtype == object and X.ndim == 1 and len(X) > 0 and all(np.ndim(one) == 2 for one in X)
    return isinstance(X, Sequence) and len(X) > 0 and all(isinstance(one, np.ndarray) and one.ndim == 2 for one in X)


def _is_3d(X: Any) -> bool:  # noqa: N803
    """An array, or lists in lists in a list."""
    try:
        return bool((np.ndim(X) if isinstance(X, (list, tuple)) else getattr(X, "ndim", 0)) == 3)
    except ValueError:  # lists that are no array
        return False


def _targets(estimator: BaseEstimator, y: Any, numeric: bool = False) -> np.ndarray:
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    if numeric:
        return np.asarray(check_array(y, dtype=np.float64, ensure_2d=False, input_name="y"))
    check_array(y, dtype=None, ensure_2d=False, ensure_all_finite=True, input_name="y")
    return np.asarray(column_or_1d(y, warn=True))


def _same_number(rows: Sequences, y: np.ndarray) -> None:
    if len(rows) != len(y):
        raise ValueError(
            f"X and y: expected as many sequences as targets, got {len(rows)} and {len(y)}: inconsistent numbers"
        )


def _batches(order: np.ndarray, rows: Sequences, size: int) -> Iterator[np.ndarray]:
    """Indices of `order` in batches; of eight batches those of similar length together, so that little is padding."""
    for start in range(0, len(order), 8 * size):
        some = order[start : start + 8 * size]
        some = some[np.argsort([len(rows[i]) for i in some], kind="stable")]
        yield from (some[i : i + size] for i in range(0, len(some), size))
