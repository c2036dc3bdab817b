"""Residual agents around a tuned rule, taught by counterfactual experience."""
