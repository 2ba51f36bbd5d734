"""How much a caller may ask for: queries in windows of time, and tokens of language models in a day."""
