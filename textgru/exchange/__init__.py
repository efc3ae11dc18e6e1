"""Models handed to other programs, and models from elsewhere."""
