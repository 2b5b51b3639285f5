"""The demo: an emulated smallBMS NG in a real Home Assistant."""
