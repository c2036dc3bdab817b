"""Statistics, paired evaluation and tuning."""
