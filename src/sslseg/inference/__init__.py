"""From a trained model to predictions of whole cases."""
