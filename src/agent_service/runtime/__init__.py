"""The use cases: one query from admission to answer, and the life of the service."""
