"""Shared parts of the demos: short trainings on synthetic data, and the pictures of their reports."""
