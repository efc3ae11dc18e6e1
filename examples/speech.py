"""Speech: which sounds are in a recording, when nobody has marked where they are (CTC)?

The recordings are made here: vowel-like sounds of two formants each, with random pitch, length, loudness and pauses,
in noise. A GRU labels frames of 10 ms; CTC finds the alignment. Run: python examples/speech.py
"""

from itertools import groupby

import numpy as np

from textgru.core import GRU, AdamW, Linear, clip_grad_norm, ctc_loss, flatten

# The first two formants in Hz, about those of an adult's vowels (Peterson and Barney 1952); number 0 is CTC's blank.
SOUNDS = {"i": (280, 2250), "e": (530, 1850), "a": (730, 1150), "o": (570, 850), "u": (310, 880), "y": (300, 1700)}
NAMES = list(SOUNDS)
RATE, FRAME, HOP, BANDS = 8000, 200, 80, 24  # samples a second; a frame is 25 ms, one every 10 ms


def sound(name, rng):
    """60 to 160 ms: harmonics of a random pitch, the loudest near the formants, which vary."""
    time = np.arange(rng.integers(RATE * 60 // 1000, RATE * 160 // 1000)) / RATE
    frequencies = rng.uniform(90, 220) * np.arange(1, 30)
    frequencies = frequencies[frequencies < RATE / 2]
    loudness = sum(1 / (1 + ((frequencies - rng.normal(1, 0.04) * formant) / 80) ** 2) for formant in SOUNDS[name])
    phases = rng.uniform(0, 2 * np.pi, len(frequencies))
    wave = (loudness[:, None] * np.sin(2 * np.pi * frequencies[:, None] * time + phases[:, None])).sum(0)
    return rng.uniform(0.3, 1) * wave * np.hanning(len(time))


def recording(rng):
    """Three to seven sounds with pauses before, between and after: samples and labels."""
    names = rng.choice(NAMES, rng.integers(3, 8))
    parts = [np.zeros(rng.integers(80, 400))]
    for name in names:
        parts += [sound(name, rng), np.zeros(rng.integers(80, 400))]
    samples = np.concatenate(parts)
    return samples + 0.05 * rng.standard_normal(len(samples)), [1 + NAMES.index(name) for name in names]


def frames(samples):
    """Loudness in bands, as logarithms: (frames, BANDS)."""
    starts = np.arange(0, len(samples) - FRAME, HOP)
    spectrum = np.abs(np.fft.rfft(samples[starts[:, None] + np.arange(FRAME)] * np.hanning(FRAME), 256)) ** 2
    edges = np.round(128 * np.linspace(0.01, 1, BANDS + 1) ** 1.3).astype(int)
    return np.log(np.add.reduceat(spectrum, edges[:-1], axis=1) + 1e-2)


def batch(count, rng):
    """x (T, count, BANDS) and labels (count, S), zeros after the end of each, and the lengths of both."""
    samples, labels = zip(*(recording(rng) for _ in range(count)), strict=True)
    rows = [frames(one) for one in samples]
    inputs, lengths = np.array([len(one) for one in rows]), np.array([len(one) for one in labels])
    x = np.zeros((inputs.max(), count, BANDS), np.float32)
    targets = np.zeros((count, lengths.max()), np.intp)
    for row, (one, label) in enumerate(zip(rows, labels, strict=True)):
        x[: len(one), row], targets[row, : len(label)] = one, label
    return x, targets, inputs, lengths


def best_path(logits, inputs):
    """The likeliest symbol of each frame, repetitions as one and blanks left out: a list for each row."""
    symbols = logits.argmax(-1).T
    return [[s for s, _ in groupby(row[:end].tolist()) if s] for row, end in zip(symbols, inputs, strict=True)]


def edits(a, b):
    """How many insertions, deletions and replacements make a of b (Levenshtein)."""
    before = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        now = [i]
        for j, other in enumerate(b, 1):
            now.append(min(before[j] + 1, now[-1] + 1, before[j - 1] + (one != other)))
        before = now
    return before[-1]


class Labeller:
    """A GRU over frames, and a linear layer from its states to the sounds and the blank."""

    def __init__(self, hidden=64, seed=0):
        rng = np.random.default_rng(seed)
        self.gru, self.head = GRU(BANDS, hidden, seed=rng), Linear(hidden, 1 + len(NAMES), seed=rng)
        self.parameters = flatten({"gru": self.gru, "head": self.head})
        self.optimizer = AdamW(self.parameters)

    def step(self, x, labels, inputs, lengths, lr=1e-2):
        """Trains on a batch; returns the loss of a label."""
        y, _ = self.gru.forward(x)
        logits = self.head.forward(y)
        dlogits = np.empty_like(logits)
        loss = ctc_loss(logits, labels, inputs, lengths, dlogits=dlogits)
        self.gru.backward(self.head.backward(dlogits), input_gradient=False)
        clip_grad_norm(self.parameters, 1.0)
        self.optimizer.step(lr=lr)
        return loss

    def listen(self, x, inputs):
        y, _ = self.gru.forward(x, training=False)
        return best_path(self.head.forward(y, training=False), inputs)

    def error_rate(self, x, labels, inputs, lengths):
        """Edits per label."""
        answers = [row[:end].tolist() for row, end in zip(labels, lengths, strict=True)]
        return sum(map(edits, self.listen(x, inputs), answers)) / lengths.sum()


def run(steps=300, rows=32, report=print):
    """Trains; returns the label error rate on 200 recordings that were not trained on."""
    rng, test, model = np.random.default_rng(0), batch(200, np.random.default_rng(1)), Labeller()
    for step in range(1, steps + 1):
        loss = model.step(*batch(rows, rng), lr=1e-2 * (1 - 0.95 * step / steps))
        if step % 50 == 0 or step == steps:
            error = model.error_rate(*test)
            report(f"step {step:4}   loss {loss:.3f}   label error rate {error:.1%}")
    x, labels, inputs, _ = test
    report("\n  heard      spoken")
    for heard, spoken in list(zip(model.listen(x, inputs), labels, strict=True))[:6]:
        report(f"  {''.join(NAMES[s - 1] for s in heard):<10} {''.join(NAMES[s - 1] for s in spoken if s)}")
    return error


if __name__ == "__main__":
    run()
