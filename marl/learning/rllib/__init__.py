"""What knows RLlib."""
