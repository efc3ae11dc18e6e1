"""Sampling controls in plain float64 NumPy: sorting, summing, one token after another."""

from collections import Counter

import numpy as np


def softmax(x):
    p = np.exp(x - x.max())
    return p / p.sum()


def keep(x, order, p, target):
    """x with only the first tokens of `order` whose probabilities add up to the target."""
    kept, total = [], 0.0
    for token in order:
        kept.append(token)
        total += p[token]
        if total >= target:
            break
    result = np.full_like(x, -np.inf)
    result[kept] = x[kept]
    return result


def suffix_length(tokens, end):
    """How many tokens up to and including number `end` are the last ones of all."""
    n = 0
    while n <= end and tokens[end - n] == tokens[-1 - n]:
        n += 1
    return n


def penalised(x, history, *, penalty_last_n=64, repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0,
              dry_multiplier=0.0, dry_base=1.75, dry_allowed_length=2, dry_penalty_last_n=1024,
              dry_breakers=()):  # fmt: skip
    x = np.array(x, np.float64)
    recent = history[max(len(history) - penalty_last_n, 0) :]
    for token, count in Counter(recent if penalty_last_n else []).items():
        x[token] = x[token] / repetition_penalty if x[token] > 0 else x[token] * repetition_penalty
        x[token] -= presence_penalty + count * frequency_penalty
    recent = history[-dry_penalty_last_n:]
    if dry_multiplier:
        most = next((i for i, token in enumerate(reversed(recent)) if token in dry_breakers), len(recent))
        longest = {}
        for end in range(len(recent) - 1):
            n = min(suffix_length(recent, end), most)
            if n >= dry_allowed_length:
                longest[recent[end + 1]] = max(n, longest.get(recent[end + 1], 0))
        for token, n in longest.items():
            x[token] -= dry_multiplier * dry_base ** (n - dry_allowed_length)
    return x


def probabilities(logits, history=(), drawn=0, *, temperature=1.0, dynatemp_range=0.0, dynatemp_exponent=1.0, top_k=0,
                  top_p=1.0, min_p=0.0, typical_p=1.0, top_n_sigma=0.0, logit_bias=None, banned=(), eos=-1,
                  min_tokens=0, **penalties):  # fmt: skip
    """The distribution (V,) that a token is drawn from."""
    x = np.array(logits, np.float64)
    for token, bias in (logit_bias or {}).items():
        x[token] += bias
    x[list(banned)] = -np.inf
    if eos >= 0 and drawn < min_tokens:
        x[eos] = -np.inf
    x = penalised(x, list(history), **penalties)
    if temperature < 1e-6 and not dynatemp_range:
        return np.eye(len(x))[np.argmax(x)]
    if top_n_sigma:
        x[x < x.max() - top_n_sigma * np.std(x[np.isfinite(x)])] = -np.inf
    if 0 < top_k < len(x):
        x[np.argsort(-x, kind="stable")[top_k:]] = -np.inf
    if typical_p < 1:
        p = softmax(x)
        surprise = np.full(len(p), np.inf)
        surprise[p > 0] = -np.log(p[p > 0])
        entropy = (p[p > 0] * surprise[p > 0]).sum()
        x = keep(x, np.argsort(np.abs(surprise - entropy), kind="stable"), p, typical_p)
    if top_p < 1:
        x = keep(x, np.argsort(-x, kind="stable"), softmax(x), top_p)
    if min_p:
        x[x < x.max() + np.log(min_p)] = -np.inf
    if dynatemp_range:
        p = softmax(x)
        kept = p[p > 0]
        low, high = max(temperature - dynatemp_range, 1e-6), temperature + dynatemp_range
        share = -(kept * np.log(kept)).sum() / np.log(len(kept)) if len(kept) > 1 else 1.0
        temperature = low + (high - low) * share**dynatemp_exponent
    return softmax(x / temperature)
