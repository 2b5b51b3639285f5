"""Tests of the demo that need no Home Assistant."""
