"""Tests of the Bluetooth layer: the client, its bonds and the adapters."""
