"""Versions of a program's state: kept by their content, made active, tried out, taken back."""
