"""The reverse proxies whose examples are shipped, run as they are but for names, ports and files."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.certificates import Leaf

ROOT = Path(__file__).parents[1]
NGINX_EXAMPLE = ROOT / "deploy/nginx/agent-service.conf"
CADDY_EXAMPLE = ROOT / "deploy/caddy/Caddyfile"

_NGINX = """\
user {user};
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    log_format upstreams '$request_method $uri $status $upstream_status $upstream_addr';
    access_log {folder}/access.log upstreams;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/agent-service.conf;
}}
"""


def free_ports(count: int) -> list[int]:
    """Ports for programs that cannot tell which ones they got."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def program(name: str) -> str:
    """The path of nginx or Caddy, which is fetched when the machine has none."""
    found = subprocess.run([ROOT / f"scripts/get-{name}"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


class ReverseProxy:
    """A proxy that runs; ``url`` is where it serves HTTPS."""

    def __init__(self, command: Sequence[str], *, folder: Path, port: int) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self._log = folder / "proxy.log"
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT
            )
        wait_until("the proxy listens", lambda: self._listens(port))

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)

    def _listens(self, port: int) -> bool:
        assert self._process.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


def nginx(folder: Path, leaf: Leaf, replicas: Sequence[int]) -> ReverseProxy:
    """The example for nginx in front of two ports of this machine."""
    plain, port = free_ports(2)
    text = _replaced(
        NGINX_EXAMPLE,
        {
            "agent-1:3000": f"127.0.0.1:{replicas[0]}",
            "agent-2:3000": f"127.0.0.1:{replicas[1]}",
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            "/etc/nginx/tls/fullchain.pem": str(leaf.certificate),
            "/etc/nginx/tls/privkey.pem": str(leaf.key),
        },
    )
    (folder / "agent-service.conf").write_text(text, encoding="utf-8")
    main = _NGINX.format(folder=folder, user="root" if os.getuid() == 0 else "nobody")
    (folder / "nginx.conf").write_text(main, encoding="utf-8")
    return ReverseProxy([program("nginx"), "-p", str(folder), "-c", "nginx.conf"], folder=folder, port=port)


def caddy(folder: Path, leaf: Leaf, replicas: Sequence[int]) -> ReverseProxy:
    """The example for Caddy in front of two ports of this machine."""
    (port,) = free_ports(1)
    text = _replaced(
        CADDY_EXAMPLE,
        {
            "agent-1:3000": f"127.0.0.1:{replicas[0]}",
            "agent-2:3000": f"127.0.0.1:{replicas[1]}",
            "agents.example.com {": (
                "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
                f"https://127.0.0.1:{port} {{\n\ttls {leaf.certificate} {leaf.key}"
            ),
        },
    )
    (folder / "Caddyfile").write_text(text, encoding="utf-8")
    return ReverseProxy([program("caddy"), "run", "--config", "Caddyfile"], folder=folder, port=port)


def _replaced(example: Path, changes: dict[str, str]) -> str:
    text = example.read_text(encoding="utf-8")
    for name in changes:
        assert len(re.findall(re.escape(name), text)) == 1, name
    for name, change in changes.items():
        text = text.replace(name, change)
    return text
