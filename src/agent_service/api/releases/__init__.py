"""Releases over HTTP: what there is of a program, and what answers."""
