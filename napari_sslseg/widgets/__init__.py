"""The parts of the dock; each shows the controller's state and asks it for work."""
