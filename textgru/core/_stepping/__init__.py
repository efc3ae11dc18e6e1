"""One token a row at a time: packed weights, sessions, drawing of tokens."""
