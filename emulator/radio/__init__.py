"""How the emulated device reaches Home Assistant: in-process for tests, an ESPHome proxy for everything else."""
