"""The BMS: what it measures, decides, counts and says."""
