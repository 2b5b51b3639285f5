"""The errors of the demo."""


class DemoError(Exception):
    """Why the demo cannot go on: a sentence for whoever sits at the terminal."""
