"""Local web page to try models of all tasks."""
