"""Which slice to label next; numpy and scipy only, fast to import."""
