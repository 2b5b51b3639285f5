"""The connection to a device: bleak and BlueZ, no Home Assistant."""
