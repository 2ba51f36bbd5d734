"""HTTP: requests, status codes and schemas. Knows nothing of DSPy or of a store."""
