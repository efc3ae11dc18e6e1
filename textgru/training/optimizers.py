"""What turns gradients into steps."""

from __future__ import annotations

from textgru.core import AdamW, Muon
from textgru.model.config import CELL_SIZES
from textgru.model.network import Network
from textgru.training.config import TrainingConfig

BETAS, EPS = (0.9, 0.99), 1e-8


def optimizer_of(network: Network, config: TrainingConfig) -> AdamW:
    """The optimizer that a training's settings name. Muon's matrices are those of the recurrent layers."""
    if config.optimizer == "adamw":
        return AdamW(network.parameters, config.learning_rate, BETAS, EPS, config.weight_decay)
    cell = network.config.cell
    matrices = {name: CELL_SIZES[cell][0] for name in network.parameters.slices if name.startswith(f"{cell}.weight_")}
    return Muon(
        network.parameters, config.learning_rate, BETAS, EPS, config.weight_decay, matrices=matrices,
        precision=config.precision, kernels="packed" if config.deterministic else None,
    )  # fmt: skip
