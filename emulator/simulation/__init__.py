"""Scenarios, and the time in which they live."""
