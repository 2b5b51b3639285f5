"""How fast it is, beside the peers. Each module is run by hand: see README.md."""
