"""Feeds readers with bytes that a fuzzer makes up, and checks what must hold whatever comes."""
