"""DQN from a shared experience pool, on RLlib: the one folder, with training.py, that knows it."""
