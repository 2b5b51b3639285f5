"""Reading what somebody else wrote: scenario files of people, states that an emulator saved."""
