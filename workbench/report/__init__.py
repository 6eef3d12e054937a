"""The report: one self-contained HTML file that opens offline."""

from workbench.report.html import write_report

__all__ = ["write_report"]
