"""Personalities: ways in which the real device may differ from what is assumed, one by one and as whole devices."""
