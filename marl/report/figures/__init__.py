"""The figures of the report, by what they show."""
