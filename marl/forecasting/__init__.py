"""Forecasts judged on the days that they did not see."""
