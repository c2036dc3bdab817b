"""The search of training settings with Ray Tune."""
