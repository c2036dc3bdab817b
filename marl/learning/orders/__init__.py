"""Agents that choose order quantities, taught by branches over every one of them."""
