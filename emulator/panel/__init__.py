"""The front panel in the browser: one page, and the events that feed it."""
