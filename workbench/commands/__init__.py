"""What can be asked for by name: one module per group of verbs, shared by the command line and the notebook."""
