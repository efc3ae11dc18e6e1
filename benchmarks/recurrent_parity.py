"""GRU, LSTM and RNN held against PyTorch over random configurations: layers, directions, lengths, dtypes, bias, batch
first; outputs, last states and all gradients within 1e-5 in float32 and 1e-10 in float64.

python -m benchmarks.recurrent_parity
"""

from __future__ import annotations

import argparse

import torch

from tests.core.test_recurrent_stack import differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    arguments = parser.parse_args()
    worst, failed = 0.0, 0
    for seed in range(arguments.cases):
        largest = max(differences(torch, seed).values())
        worst, failed = max(worst, largest), failed + (not largest < 1)
    print(f"{arguments.cases} configurations: {failed} failed, the largest difference {worst:.3f} of what is allowed")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
