"""A user's CSV files: read, checked, summarised, written as a scenario."""
