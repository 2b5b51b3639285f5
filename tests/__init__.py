"""Tests of the integration and of the emulated device."""
