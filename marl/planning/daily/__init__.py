"""The daily loop: yesterday's sales in, what is known of demand out, every morning."""
