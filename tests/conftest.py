"""What all tests need."""

# Before Home Assistant's test kit mounts a custom_components of its own.
import custom_components.smallbms_ng  # noqa: F401
