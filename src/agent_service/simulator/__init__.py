"""An OpenAI-compatible language model server with scripted replies, latency and faults."""
