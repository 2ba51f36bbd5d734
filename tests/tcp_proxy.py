"""The proxy between a client and its server, which the history checker uses too."""

from __future__ import annotations

from bench.tcp_proxy import TcpProxy

__all__ = ["TcpProxy"]
