"""Tests of the blueprints, in Home Assistant with the integration and the emulated device."""
