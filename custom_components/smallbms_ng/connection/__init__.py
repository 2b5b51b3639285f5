"""Connects to a device through bleak and BlueZ. Needs no Home Assistant."""
