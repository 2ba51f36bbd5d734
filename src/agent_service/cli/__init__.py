"""The commands: arguments and exit codes, nothing else."""
