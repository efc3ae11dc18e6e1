"""Makes golden.npz: forward and backward of PyTorch's GRU, LSTM and RNN, cross-entropy and AdamW, to hold textgru
against where PyTorch is not installed.

    python tests/data/make_golden.py        (needs torch; the file in the repository was made with 2.13.0)
"""

from pathlib import Path

import numpy as np
import torch

# seq, batch, input, hidden, layers, bias
CASES = [(1, 1, 1, 1, 1, True), (4, 3, 3, 17, 2, True), (3, 2, 17, 3, 3, False), (2, 5, 3, 65, 1, True)]


def recurrent_case(name, kind, states, seq, batch, inputs, hidden, layers, bias):
    torch.manual_seed(seq + batch + hidden)
    module = kind(inputs, hidden, layers, bias=bias)
    x = torch.randn(seq, batch, inputs, requires_grad=True)
    first = [torch.randn(layers, batch, hidden, requires_grad=True) for _ in states]
    y, last = module(x, first[0] if len(states) == 1 else tuple(first))
    last = [last] if len(states) == 1 else list(last)
    dy, d_last = torch.randn_like(y), [torch.randn_like(array) for array in last]
    torch.autograd.backward([y, *last], [dy, *d_last])
    arrays = {"x": x, "y": y, "dy": dy, "dx": x.grad}
    for state, before, after, gradient in zip(states, first, last, d_last, strict=True):
        arrays |= {f"{state}_0": before, f"{state}_n": after, f"d{state}_n": gradient, f"d{state}_0": before.grad}
    for parameter, value in module.named_parameters():
        arrays[f"parameter.{parameter}"] = value
        arrays[f"gradient.{parameter}"] = value.grad
    return {f"{name}.{key}": value.detach().numpy() for key, value in arrays.items()}


def cross_entropy_case():
    torch.manual_seed(7)
    logits = (5 * torch.randn(6, 17)).requires_grad_()
    targets = torch.randint(0, 17, (6,))
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    losses.mean().backward()
    arrays = {"logits": logits, "targets": targets, "losses": losses, "dlogits": logits.grad}
    return {f"cross_entropy.{key}": value.detach().numpy() for key, value in arrays.items()}


def adamw_case():
    torch.manual_seed(8)
    weight = torch.nn.Parameter(torch.randn(17, 3))
    arrays = {"start": weight.detach().clone()}
    optimizer = torch.optim.AdamW([weight], lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    for step in range(3):
        weight.grad = torch.randn_like(weight)
        arrays[f"gradient{step}"] = weight.grad.clone()
        optimizer.step()
        arrays[f"weight{step}"] = weight.detach().clone()
    return {f"adamw.{key}": value.numpy() for key, value in arrays.items()}


if __name__ == "__main__":
    golden = cross_entropy_case() | adamw_case()
    for number, case in enumerate(CASES):
        golden |= recurrent_case(f"gru{number}", torch.nn.GRU, "h", *case)
        golden |= recurrent_case(f"lstm{number}", torch.nn.LSTM, "hc", *case)
        golden |= recurrent_case(f"rnn{number}", torch.nn.RNN, "h", *case)
    np.savez_compressed(Path(__file__).with_name("golden.npz"), **golden)
