"""The training loop, what watches it, and the search of settings."""
