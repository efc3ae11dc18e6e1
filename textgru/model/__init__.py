"""The network: its settings, token ids to scores, forward and backward."""
