"""Training, testing and inference from Python."""
