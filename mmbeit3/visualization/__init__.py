"""HTML reports, plots and training curves, and fonts for the names of classes in pictures."""

from mmbeit3.visualization.report import Figure, Section, write_report

__all__ = ["Figure", "Section", "write_report"]
