"""Targets: where an export is to run, and what its folder holds for that."""
