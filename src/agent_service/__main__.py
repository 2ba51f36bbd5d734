"""``python -m agent_service`` is ``agent-service``."""

from __future__ import annotations

from agent_service.cli.main import main

if __name__ == "__main__":
    main(prog_name="agent-service")
