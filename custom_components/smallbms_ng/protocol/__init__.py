"""What the smallBMS NG sends and understands. Needs neither Home Assistant nor Bluetooth."""
