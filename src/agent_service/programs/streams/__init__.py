"""What a watched run tells of a program: the answer as it is written, tool arguments fit to be shown."""
