"""Integer splits that add up: what a short DC gives to each store, and shares of a total."""
