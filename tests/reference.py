"""The mathematics in plain float64 NumPy, a line an equation. Everything fast is held against this."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def bf16(x):
    """Numbers rounded to bfloat16 (8 bits of significand), to nearest, ties to even, as float64; none subnormal."""
    x = np.asarray(x, np.float64)
    significand, exponent = np.frexp(x)
    result = np.ldexp(np.rint(significand * 256), exponent - 8)
    return np.where(np.abs(result) > 3.3895313892515355e38, np.copysign(np.inf, x), result)


def gru_cell(x, state, w_ih, w_hh, b_ih, b_hh, *, reset_after=True, rounded=lambda x: x):
    """(h_t,) from x_t (B, I) and (h_{t-1} (B, H),); weights (3H, I), (3H, H), (3H,), (3H,), gates in the order r, z, n.

    `rounded` is what the inputs of a product are rounded to.
    """
    (h,) = state
    x_r, x_z, x_n = np.split(rounded(x) @ w_ih.T + b_ih, 3, axis=1)
    w_hr, w_hz, w_hn = np.split(w_hh, 3)
    b_hr, b_hz, b_hn = np.split(b_hh, 3)
    r = sigmoid(x_r + rounded(h) @ w_hr.T + b_hr)
    z = sigmoid(x_z + rounded(h) @ w_hz.T + b_hz)
    product = r * (rounded(h) @ w_hn.T + b_hn) if reset_after else (r * h) @ w_hn.T + b_hn
    n = np.tanh(x_n + product)
    return ((1 - z) * n + z * h,)


def lstm_cell(x, state, w_ih, w_hh, b_ih, b_hh, *, rounded=lambda x: x):
    """(h_t, c_t) from x_t and (h_{t-1}, c_{t-1}); weights (4H, I), (4H, H), (4H,), (4H,), gates i, f, g, o."""
    h, c = state
    i, f, g, o = np.split(rounded(x) @ w_ih.T + b_ih + rounded(h) @ w_hh.T + b_hh, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def rnn_cell(x, state, w_ih, w_hh, b_ih, b_hh, *, rounded=lambda x: x):
    """(h_t,) from x_t and (h_{t-1},); weights (H, I), (H, H), (H,), (H,)."""
    return (np.tanh(rounded(x) @ w_ih.T + b_ih + rounded(state[0]) @ w_hh.T + b_hh),)


CELLS = {
    "gru": gru_cell,
    "gru-reset-before": lambda *arguments, **rounded: gru_cell(*arguments, reset_after=False, **rounded),
    "lstm": lstm_cell,
    "rnn": rnn_cell,
}


def recurrent(kind, x, state, parameters, **rounded):
    """y (T, B, H) and the state (L, B, H), a tuple, after the last step, from x (T, B, I) and a state; parameters by
    PyTorch's names."""
    last = []
    for layer in range(len(state[0])):
        w_ih, w_hh = parameters[f"weight_ih_l{layer}"], parameters[f"weight_hh_l{layer}"]
        b_ih = parameters.get(f"bias_ih_l{layer}", np.zeros(len(w_ih)))
        b_hh = parameters.get(f"bias_hh_l{layer}", np.zeros(len(w_ih)))
        now, outputs = tuple(array[layer] for array in state), []
        for x_t in x:
            now = CELLS[kind](x_t, now, w_ih, w_hh, b_ih, b_hh, **rounded)
            outputs.append(now[0])
        x = np.stack(outputs)
        last.append(now)
    return x, tuple(np.stack(arrays) for arrays in zip(*last, strict=True))


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def cross_entropy(logits, targets):
    """The negative log-likelihood (N,) of targets (N,) under logits (N, V)."""
    return -log_softmax(logits)[np.arange(len(targets)), targets]


def adamw(w, g, m, v, step, *, lr, betas, eps, weight_decay):
    """One step of AdamW (Loshchilov and Hutter 2019, algorithm 2): the new w, m, v."""
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g**2
    m_hat = m / (1 - betas[0] ** step)
    v_hat = v / (1 - betas[1] ** step)
    return w - lr * weight_decay * w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


def numerical_gradient(function, array, *, epsilon=1e-5):
    """The gradient of function() with respect to `array`, by central differences, changing it in place."""
    gradient = np.empty_like(array)
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept + epsilon
        above = function()
        array[i] = kept - epsilon
        below = function()
        array[i] = kept
        gradient[i] = (above - below) / (2 * epsilon)
    return gradient


def relative_error(got, wanted):
    """The largest difference between two arrays over the largest magnitude in either."""
    scale = max(np.abs(got).max(), np.abs(wanted).max(), 1e-12)
    return np.abs(got - wanted).max() / scale
