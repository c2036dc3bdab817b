"""The report: one HTML file that shows what a run learnt, without a network."""
