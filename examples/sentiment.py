"""Sentiment: is a sentence kind or unkind, where that depends on "not", "but" and "although"?

The sentences are generated here, not collected: a grammar makes them so that the words alone don't tell, their order
does. A GRU reads word by word; the baseline is a logistic regression on which words there are.
Run: python examples/sentiment.py
"""

import numpy as np

from textgru.core import GRU, AdamW, Embedding, Linear, clip_grad_norm, flatten, softmax_cross_entropy

KIND = "good great lovely fresh friendly quick warm clean charming excellent".split()
UNKIND = "bad awful rude slow cold dirty stale boring noisy terrible".split()
THINGS = "food|service|room|staff|music|soup|view|coffee|bread|price|garden|wine".split("|")
PLAIN = ["", "", "very ", "really ", "quite "]
NEGATED = ["not ", "never ", "hardly ", "anything but ", "far from ", "not at all "]
LENGTH = 20  # words; shorter sentences have PAD before them


def clause(rng, kind):
    """Some words that are kind or unkind, three times in ten by negating the opposite."""
    negated = rng.random() < 0.3
    adjective = rng.choice(KIND if kind != negated else UNKIND)
    return f"the {rng.choice(THINGS)} was {rng.choice(NEGATED if negated else PLAIN)}{adjective}"


def sentence(rng):
    """A sentence and its label, 1 for kind: of two opposite clauses, the one that isn't conceded counts."""
    kind = bool(rng.integers(2))
    main, other = clause(rng, kind), clause(rng, not kind)
    shapes = [main, main, main, f"{other} but {main}", f"although {other} {main}", f"{main} although {other}"]
    return shapes[rng.integers(len(shapes))], int(kind)


def dataset(count, seed, without=()):
    """`count` different sentences, none of them in `without`, and their labels (count,)."""
    rng, seen = np.random.default_rng(seed), {}
    while len(seen) < count:
        text, label = sentence(rng)
        if text not in without:
            seen[text] = label
    return list(seen), np.array(list(seen.values()), np.intp)


WORDS = ["PAD", *sorted({*"the was but although".split(), *KIND, *UNKIND, *THINGS, *" ".join(PLAIN + NEGATED).split()})]


def encode(texts):
    """Words as numbers (LENGTH, texts), time first; PAD stands before, so that the last state has read all."""
    index = np.zeros((LENGTH, len(texts)), np.intp)
    for column, text in enumerate(texts):
        words = [WORDS.index(word) for word in text.split()]
        index[LENGTH - len(words) :, column] = words
    return index


class Classifier:
    """Embedding, GRU, and a linear layer on the last state."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.embedding, self.gru = Embedding(len(WORDS), 16, seed=rng), GRU(16, 32, seed=rng)
        self.head = Linear(32, 2, seed=rng)
        self.parameters = flatten({"embedding": self.embedding, "gru": self.gru, "head": self.head})
        self.optimizer = AdamW(self.parameters, lr=5e-3)

    def scores(self, index, training=False):
        """(batch, 2)"""
        _, h_n = self.gru.forward(self.embedding.forward(index), training=training)
        return self.head.forward(h_n[-1], training=training)

    def step(self, index, labels):
        logits = self.scores(index, training=True)
        dlogits = np.empty_like(logits)
        losses = softmax_cross_entropy(logits, labels, dlogits=dlogits, scale=1 / len(labels))
        dx, _ = self.gru.backward(None, self.head.backward(dlogits)[None])
        self.embedding.backward(dx)
        clip_grad_norm(self.parameters, 1.0)
        self.optimizer.step()
        return losses.mean()


def bag_of_words(train, labels, test, steps=300):
    """The labels (test,) that a logistic regression on which words there are predicts."""

    def bags(index):
        return np.array([np.isin(np.arange(len(WORDS)), column) for column in index.T], np.float32)

    x, linear = bags(train), Linear(len(WORDS), 2, seed=0)
    optimizer = AdamW(flatten({"linear": linear}), lr=0.05)
    for _ in range(steps):
        logits = linear.forward(x)
        dlogits = np.empty_like(logits)
        softmax_cross_entropy(logits, labels, dlogits=dlogits, scale=1 / len(labels))
        linear.backward(dlogits)
        optimizer.step()
    return linear.forward(bags(test)).argmax(1)


def run(steps=500, count=4000, batch=64, report=print):
    """Trains; returns the accuracies of the GRU and of the baseline on sentences that neither has seen."""
    texts, labels = dataset(count, seed=1)
    unseen, answers = dataset(1000, seed=2, without=set(texts))
    train, test = encode(texts), encode(unseen)
    model, rng = Classifier(), np.random.default_rng(0)
    for step in range(1, steps + 1):
        rows = rng.integers(0, count, batch)
        loss = model.step(train[:, rows], labels[rows])
        if step % 100 == 0:
            right = (model.scores(test).argmax(1) == answers).mean()
            report(f"step {step:5,}   loss {loss:.3f}   accuracy {right:.1%}")
    said = model.scores(test).argmax(1)
    accuracy, baseline = (said == answers).mean(), (bag_of_words(train, labels, test) == answers).mean()
    report(f"\n{len(unseen):,} generated sentences that were not trained on:")
    report(f"  bag of words {baseline:7.1%}\n  GRU          {accuracy:7.1%}\n")
    for text, label in list(zip(unseen, said, strict=True))[:6]:
        report(f"  {'kind  ' if label else 'unkind'}  {text}")
    return accuracy, baseline


if __name__ == "__main__":
    run()
