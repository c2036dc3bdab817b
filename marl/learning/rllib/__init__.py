"""The parts that know RLlib."""
