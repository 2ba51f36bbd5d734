"""Talking to the agent in a terminal, over the service's own event streams."""
