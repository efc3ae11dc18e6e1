"""Makes golden.npz: forward and backward of PyTorch's GRU, cross-entropy and AdamW, to hold textgru against where
PyTorch is not installed.

    python tests/data/make_golden.py        (needs torch; the file in the repository was made with 2.13.0)
"""

from pathlib import Path

import numpy as np
import torch

# seq, batch, input, hidden, layers, bias
GRU_CASES = [(1, 1, 1, 1, 1, True), (4, 3, 3, 17, 2, True), (3, 2, 17, 3, 3, False), (2, 5, 3, 65, 1, True)]


def gru_case(name, seq, batch, inputs, hidden, layers, bias):
    torch.manual_seed(seq + batch + hidden)
    module = torch.nn.GRU(inputs, hidden, layers, bias=bias)
    x = torch.randn(seq, batch, inputs, requires_grad=True)
    h_0 = torch.randn(layers, batch, hidden, requires_grad=True)
    y, h_n = module(x, h_0)
    dy, dh_n = torch.randn_like(y), torch.randn_like(h_n)
    torch.autograd.backward([y, h_n], [dy, dh_n])
    arrays = {"x": x, "h_0": h_0, "y": y, "h_n": h_n, "dy": dy, "dh_n": dh_n, "dx": x.grad, "dh_0": h_0.grad}
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
    for number, case in enumerate(GRU_CASES):
        golden |= gru_case(f"gru{number}", *case)
    np.savez_compressed(Path(__file__).with_name("golden.npz"), **golden)
