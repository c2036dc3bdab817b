"""Ways to learn: networks, experience pools, updates and policies; `rllib` runs any of them."""
