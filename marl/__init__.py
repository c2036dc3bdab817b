"""Policies, learning and evaluation for the omni-channel environment."""
