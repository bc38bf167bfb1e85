"""napari plugin: label a few slices, train beside it, look, correct, export."""
