"""Measurements of the product's real code on the real thing, each beside its rival in one run."""
