"""What turns gradients into steps."""

from __future__ import annotations

from math import sqrt

from textgru.core import AdamW, Muon
from textgru.distributed.ranks import Ranks
from textgru.model.config import CELL_SIZES
from textgru.model.network import Network
from textgru.training.config import TrainingConfig

BETAS, EPS = (0.9, 0.99), 1e-8
MOMENTUM, NS_STEPS = 0.95, 3
RMS, SETTLED = 0.75, 200  # of a first update, in learning rates, and the steps after which it is less by sqrt(2)
SHARE = 0.3  # of a step's work that directions may take, about


def optimizer_of(network: Network, config: TrainingConfig, ranks: Ranks) -> AdamW:
    """The optimizer that a training's settings name. Muon's matrices are those of the recurrent layers; the ranks of a
    machine share its work, where their gradients are the same."""
    if config.optimizer == "adamw":
        return AdamW(network.parameters, config.learning_rate, BETAS, EPS, config.weight_decay)
    cell = network.config.cell
    matrices = {name: CELL_SIZES[cell][0] for name in network.parameters.slices if name.startswith(f"{cell}.weight_")}
    return FallingMuon(
        network.parameters, config.learning_rate, BETAS, EPS, config.weight_decay, matrices=matrices,
        momentum=MOMENTUM, ns_steps=NS_STEPS, period=period_of(network, matrices, config),
        precision=network.recurrent.precision, kernels="packed" if config.deterministic else None,
        neighbours=ranks if ranks.count > 1 and config.sync_every == 1 else None,
    )  # fmt: skip


class FallingMuon(Muon):
    """Muon whose updates become smaller by the square root of the steps: large ones learn much faster in the beginning,
    and are too large later, where the moving average of the weights alone would not make up for it."""

    def step(self, *, lr: float | None = None, gradient_scale: float = 1.0) -> None:
        self.rms = RMS * sqrt(SETTLED / (SETTLED + self.steps))
        super().step(lr=lr, gradient_scale=gradient_scale)


def period_of(network: Network, matrices: dict[str, int], config: TrainingConfig) -> int:
    """Every how many steps a direction is computed, so that this takes about SHARE of the time of the rest."""
    products = 0.0
    for name, gates in matrices.items():
        rows, columns = network.parameters.shapes[name]
        small, large = sorted((rows // gates, columns))
        products += gates * NS_STEPS * small * small * (2 * large + small)
    step = 3 * network.config.multiplied_weights() * config.batch_size * config.seq_length
    return max(1, min(100, round(products / step / SHARE)))
