"""A store clerk whose tools come from an MCP server, and whose recorded runs need no server."""
