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


def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh, *, reset_after=True):
    """h_t from x_t (B, I) and h_{t-1} (B, H); weights (3H, I), (3H, H), (3H,), (3H,), gates in the order r, z, n."""
    x_r, x_z, x_n = np.split(x @ w_ih.T + b_ih, 3, axis=1)
    w_hr, w_hz, w_hn = np.split(w_hh, 3)
    b_hr, b_hz, b_hn = np.split(b_hh, 3)
    r = sigmoid(x_r + h @ w_hr.T + b_hr)
    z = sigmoid(x_z + h @ w_hz.T + b_hz)
    product = r * (h @ w_hn.T + b_hn) if reset_after else (r * h) @ w_hn.T + b_hn
    n = np.tanh(x_n + product)
    return (1 - z) * n + z * h


def gru(x, h_0, parameters, *, reset_after=True):
    """y (T, B, H) and h_n (L, B, H) from x (T, B, I) and h_0 (L, B, H); parameters by PyTorch's names."""
    hidden = h_0.shape[-1]
    h_n = []
    for layer, h in enumerate(h_0):
        w_ih, w_hh = parameters[f"weight_ih_l{layer}"], parameters[f"weight_hh_l{layer}"]
        b_ih = parameters.get(f"bias_ih_l{layer}", np.zeros(3 * hidden))
        b_hh = parameters.get(f"bias_hh_l{layer}", np.zeros(3 * hidden))
        outputs = []
        for x_t in x:
            h = gru_cell(x_t, h, w_ih, w_hh, b_ih, b_hh, reset_after=reset_after)
            outputs.append(h)
        x = np.stack(outputs)
        h_n.append(h)
    return x, np.stack(h_n)


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
