"""Methods taught by branches: choices around a tuned rule, and order quantities."""
