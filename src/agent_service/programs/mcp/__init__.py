"""Tools of MCP servers. Only ``servers_file`` can be imported without the package ``mcp``."""
