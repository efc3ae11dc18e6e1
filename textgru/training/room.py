"""Room for a training: in memory, and on the disk beside a run that it replaces."""

from __future__ import annotations

import shutil
from pathlib import Path

from textgru.core import memory_bytes
from textgru.errors import InputError, StorageError
from textgru.model.config import NetworkConfig
from textgru.training.config import TrainingConfig

SMALL_FILES = 1 << 16  # bytes of all but weights and checkpoint


def check_memory(network: NetworkConfig, training: TrainingConfig) -> None:
    """Raises InputError if training needs more bytes than this machine has, where that can be told."""
    needed, available = network.training_bytes(training.batch_size, training.seq_length), memory_bytes()
    if available is not None and needed > available:
        raise InputError(
            f"this training needs about {needed / 1e9:,.0f} GB of memory, the machine has {available / 1e9:,.0f} GB; "
            "try a smaller --hidden-size, --num-layers, --batch-size or --seq-length"
        )


def check_disk(folder: Path, needed: int, out: Path) -> None:
    """Raises StorageError unless `needed` bytes fit on the disk beside the run in `folder`, named `out`."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if free < needed + SMALL_FILES:
        raise StorageError(
            f"{out}: the run in it stays: no room for another, which takes {needed / 1e6:,.1f} MB more; "
            f"{free / 1e6:,.1f} MB are free"
        )
