"""The device of a recording: it advertises and answers what an owner's device did."""
