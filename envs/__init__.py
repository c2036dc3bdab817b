"""Environments of omnichannel-marl."""
