"""Reports that a person can look at."""

from mmbeit3.visualization.report import Figure, Section, write_report

__all__ = ["Figure", "Section", "write_report"]
