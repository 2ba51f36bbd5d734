"""Queries whose events are followed while they run, and read again later."""
