import pytest


@pytest.fixture
def said(monkeypatch):
    """Messages that metrics log about the number of scored samples."""
    lines = []
    monkeypatch.setattr("mmbeit3.evaluation.metrics.reporting.print_log", lambda text, *_: lines.append(text))
    return lines
