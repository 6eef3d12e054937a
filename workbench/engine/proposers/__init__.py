"""Who says which recipes a sweep tries: one file per proposer, `base.py` is the extension point."""
