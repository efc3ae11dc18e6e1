"""Translation with an encoder and a decoder: dates as people write them, to 2026-11-26.

One GRU reads a date character by character; its last state is where another begins, which writes the translation. The
dates asked for are of days that were never trained on. Run: python examples/translation.py
"""

from datetime import date, timedelta

import numpy as np

from textgru.core import GRU, AdamW, Embedding, Linear, clip_grad_norm, flatten, softmax_cross_entropy

MONTHS = "January February March April May June July August September October November December".split()
SOURCE = sorted(set(" ,./-" + "0123456789" + "".join(MONTHS) + "stndrdthof"))
TARGET = "0123456789-"
START = len(TARGET)  # what the decoder reads first
LENGTH = 24  # of what is read; shorter dates have 0 before them
FIRST, DAYS = date(1950, 1, 1), 36_525  # a hundred years


def written(day, rng):
    """A day as somebody might write it."""
    month = MONTHS[day.month - 1]
    ending = "th" if day.day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    forms = [
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"{day.day}{ending} of {month} {day.year}",
        f"{month[:3]} {day.day}, {day.year}",
        f"{day.day}.{day.month}.{day.year}",
        f"{day.month:02}/{day.day:02}/{day.year}",
    ]
    return forms[rng.integers(len(forms))]


def pairs(days, rng):
    """For days by their number: how they are written, and numbers for source (LENGTH, days) and target (10, days)."""
    dates = [FIRST + timedelta(int(day)) for day in days]
    texts = [written(day, rng) for day in dates]
    source = np.zeros((LENGTH, len(texts)), np.intp)
    for column, text in enumerate(texts):
        source[LENGTH - len(text) :, column] = [1 + SOURCE.index(character) for character in text]
    target = np.array([[TARGET.index(character) for character in day.isoformat()] for day in dates], np.intp).T
    return texts, source, target


class Translator:
    """Embeddings and GRUs of both sides, and a linear layer from the decoder's states to characters."""

    def __init__(self, hidden=128, seed=0):
        rng = np.random.default_rng(seed)
        self.layers = {
            "source": Embedding(1 + len(SOURCE), 32, seed=rng),
            "encoder": GRU(32, hidden, seed=rng),
            "target": Embedding(len(TARGET) + 1, 32, seed=rng),
            "decoder": GRU(32, hidden, seed=rng),
            "output": Linear(hidden, len(TARGET), seed=rng),
        }
        self.parameters = flatten(self.layers)
        self.optimizer = AdamW(self.parameters)

    def step(self, source, target, lr):
        """Trains on a batch: the decoder reads what is right, shifted by one. Returns the loss of a character."""
        layers = self.layers
        _, state = layers["encoder"].forward(layers["source"].forward(source))
        before = np.concatenate([np.full_like(target[:1], START), target[:-1]])
        y, _ = layers["decoder"].forward(layers["target"].forward(before), state)
        logits = layers["output"].forward(y)
        dlogits = np.empty_like(logits)
        rows = (-1, len(TARGET))
        losses = softmax_cross_entropy(
            logits.reshape(rows), target.reshape(-1), dlogits=dlogits.reshape(rows), scale=1 / target.size
        )
        dx, dstate = layers["decoder"].backward(layers["output"].backward(dlogits))
        layers["target"].backward(dx)
        dx, _ = layers["encoder"].backward(None, dstate)
        layers["source"].backward(dx)
        clip_grad_norm(self.parameters, 1.0)
        self.optimizer.step(lr=lr)
        return losses.mean()

    def translate(self, source):
        """The likeliest characters (10, batch), each read again for the next."""
        layers = self.layers
        _, state = layers["encoder"].forward(layers["source"].forward(source), training=False)
        last, written = np.full((1, source.shape[1]), START), []
        for _ in range(10):
            y, state = layers["decoder"].forward(layers["target"].forward(last), state, training=False)
            last = layers["output"].forward(y, training=False).argmax(-1)
            written.append(last[0])
        return np.array(written)


def run(steps=2000, batch=128, hidden=128, report=print):
    """Trains; returns which share of a thousand dates of unseen days is translated without a mistake."""
    rng = np.random.default_rng(0)
    days = rng.permutation(DAYS)
    trained, unseen = days[4000:], days[:1000]
    texts, source, target = pairs(unseen, rng)
    model = Translator(hidden)
    for step in range(1, steps + 1):
        _, x, y = pairs(rng.choice(trained, batch), rng)
        loss = model.step(x, y, lr=4e-3 * (1 - 0.95 * step / steps))
        if step % 250 == 0 or step == steps:
            right = (model.translate(source) == target).all(0)
            report(f"step {step:5,}   loss {loss:.4f}   exact {right.mean():.1%}")
    report("")
    for text, row in list(zip(texts, model.translate(source).T, strict=True))[:6]:
        report(f"  {text:>26}  ->  {''.join(TARGET[number] for number in row)}")
    return right.mean()


if __name__ == "__main__":
    run()
