"""Changes the code in small ways, and looks whether the tests notice."""
