"""The simulated annotator: the whole loop on a labelled folder, round by round, with resume."""
