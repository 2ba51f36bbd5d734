"""The rules of the offline demo engine: a text protocol in, a text protocol out, no DSPy."""
