"""Optimization steps; each file is one technique, found by name in the registry."""
