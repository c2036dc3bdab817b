"""Run folders, checkpoints and copies of both."""
