"""Datasets by name, path or arrays, stored once as memory-mapped `.npy` files."""
