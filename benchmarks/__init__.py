"""How fast it is, and how little it costs, beside the peers: see README.md."""

# Before anything of Home Assistant is imported, so that its clock can be moved.
import pytest_homeassistant_custom_component.patch_time  # noqa: F401
