"""Where a trial comes from: every execution and file from source and data to its figures."""
