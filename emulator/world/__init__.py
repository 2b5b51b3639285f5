"""What is around the battery: loads, chargers, switches, the sun."""
