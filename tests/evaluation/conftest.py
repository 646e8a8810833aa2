import pytest


@pytest.fixture
def logged(monkeypatch):
    """Messages that metrics log about the number of scored samples."""
    lines = []
    monkeypatch.setattr("mmbeit3.evaluation.metrics.reporting.print_log", lambda text, *_: lines.append(text))
    return lines
