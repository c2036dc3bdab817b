"""For planners: their data in, orders out; neither Ray nor torch."""
