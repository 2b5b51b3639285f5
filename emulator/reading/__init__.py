"""Reading scenario files and saved states, and saying in one sentence what is wrong with them."""
