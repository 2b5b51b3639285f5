"""Batteries: models, cells, strings and the bank that they make."""
