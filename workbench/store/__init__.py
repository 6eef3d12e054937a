"""The store: a folder with a database and artifacts named by the hash of their content."""
