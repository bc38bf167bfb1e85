"""Networks and what is built from them."""
