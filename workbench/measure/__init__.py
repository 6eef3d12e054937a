"""Latency measured alone and side by side; knows runtimes, but neither TensorFlow nor Jupyter."""
