"""Put a DSPy program behind an HTTP API that holds up in production."""

__version__ = "0.1.0"
