"""GRU, LSTM and plain RNN, measured: python -m benchmarks.cells (docs/grus_explained.md)."""
