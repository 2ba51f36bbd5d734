"""A program's signature as JSON: what callers send, what they get, and the schemas of both."""
