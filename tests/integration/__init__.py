"""Tests of the integration, through Home Assistant and the emulated device."""
