"""Where an artifact runs; each runtime is found by name in the registry."""
