"""Tests in a browser; scripts/test-browser runs them."""
