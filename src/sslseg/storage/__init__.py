"""Files: images, the project store, arrays and checkpoints."""
