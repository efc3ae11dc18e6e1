"""Run directories on disk: their layout, who writes them, what is read from them."""
