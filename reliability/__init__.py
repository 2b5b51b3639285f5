"""Tries to break the integration and the emulator, for longer than the tests do: see docs/reliability.md."""
