"""Branches: what other decisions would have led to, in the same world or in imagined ones."""
