"""What can be served. The only room that imports DSPy."""
