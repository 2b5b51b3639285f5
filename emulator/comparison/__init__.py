"""Comparing what is assumed of the device with the recording of a real one."""
