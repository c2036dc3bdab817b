"""Branches: the outcome of other decisions, in the same world or in imagined ones."""
