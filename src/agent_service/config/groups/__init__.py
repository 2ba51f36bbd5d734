"""The settings by what they are about. Each group is one page of docs/settings.md's table."""
