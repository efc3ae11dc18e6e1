"""What a model says of a text."""
