"""An agent whose tools come from a server of the Model Context Protocol: ``mcp.json`` says which."""

from __future__ import annotations

import dspy


def program(tools: list[dspy.Tool]) -> dspy.Module:
    """Made with the tools of ``AGENT_MCP_SERVERS``."""
    return dspy.ReAct("conversation: str, question: str -> answer: str", tools=tools, max_iters=5)
