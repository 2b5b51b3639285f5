"""Lets a real Home Assistant live with emulated devices while everything goes wrong that can, and keeps books."""
