"""The device's side of VE.Smart: records, registers, sessions."""
