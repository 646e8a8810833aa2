import pytest


@pytest.fixture
def said(monkeypatch):
    """What metrics say of how many they scored."""
    lines = []
    monkeypatch.setattr("mmbeit3.evaluation.metrics.reporting.print_log", lambda text, *_: lines.append(text))
    return lines
