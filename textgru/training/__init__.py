"""From text files to a run: settings and their defaults, batches, events, the trainer."""
