"""Recipes as text and as grids; knows values, the registry and techniques."""
