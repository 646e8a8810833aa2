"""Shared parts of the demos: short trainings on made data, and the pictures of their reports."""
