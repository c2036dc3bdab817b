"""Costs that no policy can beat: relaxations and exact optima."""
