"""Who may ask, and for whom: API keys, tokens of an identity provider, and what both are bound to."""
