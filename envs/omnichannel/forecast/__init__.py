"""Forecasts: demand that is to come, by level, spread and profile, learnt day by day."""
