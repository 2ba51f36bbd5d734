"""Listeners of the core: metrics and logs."""
