"""The integration against the Linux kernel's Bluetooth and bluetoothd, without hardware; scripts/test-bluez runs it."""
