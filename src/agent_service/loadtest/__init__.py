"""Putting load on a service and measuring what it does: the room behind ``agent-service bench``."""
