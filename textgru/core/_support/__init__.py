"""Argument checks, workspaces, aligned memory, instruction sets, and small compiled helpers."""
