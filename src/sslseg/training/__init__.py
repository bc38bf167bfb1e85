"""The training loop and what plans and judges it."""
