"""Learning by temporal differences: 34 agents, whose networks have one shape."""
