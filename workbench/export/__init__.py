"""The export: a folder with the file, its card, its labels and a script that runs it."""

from workbench.export.bundle import export_trial

__all__ = ["export_trial"]
