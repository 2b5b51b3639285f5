"""Tests of what tries to break the rest."""
