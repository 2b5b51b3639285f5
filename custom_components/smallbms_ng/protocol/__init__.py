"""Converts between the bytes of a smallBMS NG and values. Needs neither Home Assistant nor Bluetooth."""
