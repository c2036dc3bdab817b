"""The pools that learning draws from: whole episodes, and labelled recorded states."""
