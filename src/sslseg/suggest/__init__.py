"""Which slice to label next."""
