"""What Workbench uses of libraries that they promise nobody: one file a library, and a canary for each in `tests/test_compat.py`."""
