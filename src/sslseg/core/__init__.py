"""The nouns of the program; numpy and pydantic only."""
