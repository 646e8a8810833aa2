"""The metrics, and the functions that they compute with."""
