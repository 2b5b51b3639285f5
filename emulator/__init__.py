"""An emulated smallBMS NG: the device, its radios and its world. Never imports the integration."""
