"""A completion server and its page."""
