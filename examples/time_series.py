"""Time series: next month's temperature of the Pacific, and months that don't fit.

The series is El Niño's: sea surface temperatures off Peru, monthly, 1950 to 2010 (NOAA), which the package statsmodels
contains. A GRU learns the first 45 years; the rest is forecast, each month from those before it.
Run: python examples/time_series.py
"""

import sys

import numpy as np

from textgru.core import GRU, AdamW, Linear, WeightAverage, clip_grad_norm, flatten

WINDOW = 48  # months that are trained on at a time
TRAINED = 45 * 12


def series():
    """(732,) degrees Celsius, from January 1950."""
    try:
        from statsmodels.datasets import elnino
    except ImportError:
        sys.exit("time_series: the series comes with statsmodels; install it: pip install statsmodels")
    return elnino.load_pandas().data.to_numpy()[:, 1:].reshape(-1)


class Forecaster:
    """Reads the month's temperature and its time of year, says how far the next one will be from this month's."""

    def __init__(self, values, hidden=32, seed=0):
        rng = np.random.default_rng(seed)
        self.mean, self.spread = values.mean(), values.std()
        self.gru, self.head = GRU(3, hidden, seed=rng), Linear(hidden, 1, seed=rng)
        self.parameters = flatten({"gru": self.gru, "head": self.head})
        self.optimizer = AdamW(self.parameters, weight_decay=0.1)
        self.average = WeightAverage(self.parameters, 0.99)

    def features(self, values, months):
        """(..., 3) of temperatures (...) in degrees and months since January 1950 (...)."""
        year = 2 * np.pi * months / 12
        return np.stack([(values - self.mean) / self.spread, np.sin(year), np.cos(year)], -1).astype(np.float32)

    def train(self, values, steps, batch=32, seed=0):
        rng = np.random.default_rng(seed)
        for step in range(1, steps + 1):
            months = rng.integers(0, len(values) - WINDOW, batch) + np.arange(WINDOW + 1)[:, None]
            x = self.features(values[months], months)
            y, _ = self.gru.forward(x[:-1].copy())
            error = self.head.forward(y) - np.diff(x[:, :, :1], axis=0)
            error[:12] = 0  # a year to read before it counts
            self.gru.backward(self.head.backward(2 * error / error.size), input_gradient=False)
            clip_grad_norm(self.parameters, 1.0)
            self.optimizer.step(lr=5e-3 * (1 - 0.95 * step / steps))
            self.average.update(step)

    def forecasts(self, values, doubtful=np.inf):
        """The forecast (n,) of each month from those before it, in degrees; of the first, its own value.

        A month further from its forecast than `doubtful` is not believed, unless the one before wasn't either: the
        forecast is read in its place.
        """
        said, state, believes = [values[0]], None, True
        for month, value in enumerate(values[:-1]):
            believes = not believes or abs(value - said[-1]) <= doubtful
            believed = value if believes else said[-1]
            y, state = self.gru.forward(self.features(believed, np.array(month))[None, None], state, training=False)
            said.append(believed + self.spread * float(self.head.forward(y, training=False)[0, 0, 0]))
        return np.array(said)


def found(scores, injected):
    """Which share of the injected anomalies is among as many highest scores."""
    return np.isin(np.argsort(scores)[-len(injected) :], injected).mean()


def run(steps=400, report=print):
    """Trains; returns the mean absolute errors {"GRU", "naive", "seasonal naive"} and shares of anomalies found."""
    values = series()
    tail = np.arange(TRAINED, len(values))
    model = Forecaster(values[:TRAINED])
    model.train(values[:TRAINED], steps)
    with model.average.in_use():
        said = model.forecasts(values)
        errors = {
            "GRU": np.abs(said - values)[tail].mean(),
            "naive": np.abs(values[tail - 1] - values[tail]).mean(),
            "seasonal naive": np.abs(values[tail - 12] - values[tail]).mean(),
        }
        report(f"{len(tail)} months that were not trained on, mean absolute error of a month's forecast:")
        for name, error in errors.items():
            report(f"  {name:<15} {error:.3f} degrees")

        rng = np.random.default_rng(1)
        injected = rng.choice(tail[6::6], 12, replace=False)  # sensors that are wrong by 2 degrees for a month
        wrong = values.copy()
        wrong[injected] += 2 * rng.choice([-1, 1], len(injected))
        usual = np.abs(said - values)[12:TRAINED].std()
        scores = np.abs(wrong - model.forecasts(wrong, doubtful=4 * usual)) / usual
    jumps = np.abs(wrong[tail] - wrong[tail - 1])
    shares = {"GRU": found(scores[tail], injected - TRAINED), "naive": found(jumps, injected - TRAINED)}
    report(f"\n{len(injected)} of these months made wrong by 2 degrees; found by the {len(injected)} highest scores:")
    for name, share in shares.items():
        report(f"  {name:<15} {share:.0%}")
    return errors, shares


if __name__ == "__main__":
    run()
