"""Curves for the terminal and as images."""
