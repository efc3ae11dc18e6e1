"""The same language model in PyTorch, as its users write it."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from textgru.model.network import Network


class Model(torch.nn.Module):
    """nn.Embedding -> nn.GRU (or nn.LSTM, nn.RNN) -> nn.Linear, with a textgru network's weights."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        config = network.config
        self.vocab_size = config.vocab_size
        self.embedding = torch.nn.Embedding(config.vocab_size, config.embedding_size)
        kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM, "rnn": torch.nn.RNN}[config.cell]
        self.cell = config.cell
        self.add_module(config.cell, kind(config.embedding_size, config.hidden_size, config.num_layers))
        self.output = torch.nn.Linear(config.hidden_size, config.vocab_size)
        self.load_state_dict({name: torch.tensor(value) for name, value in network.named_parameters().items()})

    def forward(self, tokens: Any, state: Any) -> tuple[Any, Any]:
        y, state = getattr(self, self.cell)(self.embedding(tokens), state)
        return self.output(y), state

    def initial_state(self, batch: int) -> Any:
        """Zeros, as this cell's module takes them."""
        recurrent = getattr(self, self.cell)
        zeros = torch.zeros(recurrent.num_layers, batch, recurrent.hidden_size)
        return (zeros, zeros) if self.cell == "lstm" else zeros


class Training:
    """One training step at a call: forward, loss, backward, clip, AdamW, with the state carried on."""

    def __init__(self, network: Network, tokens: Any, targets: Any, *, bf16: bool = False) -> None:
        self.model = Model(network)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3, (0.9, 0.99), fused=True)
        self.tokens, self.targets = torch.tensor(tokens), torch.tensor(targets)
        self.state = self.model.initial_state(tokens.shape[1])
        self.bf16 = bf16
        self.loss = float("nan")

    def gradients(self) -> dict[str, Any]:
        """Of the loss at the present weights and state; sets `loss`."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits, state = self.model(self.tokens, self.state)
            loss = cross_entropy(logits.reshape(-1, self.model.vocab_size), self.targets.reshape(-1))
        loss.backward()
        both = isinstance(state, tuple)
        self.state = tuple(array.detach().float() for array in state) if both else state.detach().float()
        self.loss = loss.item()
        return {name: p.grad.numpy() for name, p in self.model.named_parameters() if p.grad is not None}

    def step(self) -> None:
        self.gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()


class Sampling:
    """Draws `length` tokens, one at a time, as a user's loop does: softmax at a temperature, multinomial."""

    def __init__(self, network: Network, length: int, temperature: float) -> None:
        self.model = Model(network).eval()
        self.length, self.temperature = length, temperature

    def run(self) -> list[int]:
        drawn = []
        with torch.inference_mode():
            state = self.model.initial_state(1)
            token = torch.zeros(1, 1, dtype=torch.long)
            for _ in range(self.length):
                logits, state = self.model(token, state)
                token = torch.multinomial(torch.softmax(logits[0] / self.temperature, -1), 1)
                drawn.append(int(token.item()))
        return drawn
