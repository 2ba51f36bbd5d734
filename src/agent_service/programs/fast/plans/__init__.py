"""What DSPy's adapters do for one signature, worked out once: prompts, settings of requests, readers."""
