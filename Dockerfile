# The image of the service: locked dependencies, no compiler, not root, nothing written outside /data and /tmp.
# For a build that can be repeated, name the base by its digest: --build-arg BASE=python:3.12-slim-bookworm@sha256:...
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
RUN python3 -m venv /opt/agent-service
COPY locks/build.lock locks/runtime.lock locks/
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r locks/build.lock \
    && /opt/agent-service/bin/pip install --no-compile --require-hashes -r locks/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/python -m build --wheel --no-isolation --outdir /tmp/wheel \
    && /opt/agent-service/bin/pip install --no-compile --no-deps --no-index /tmp/wheel/*.whl \
    && /opt/agent-service/bin/python -m compileall -q -f -j 0 --invalidation-mode unchecked-hash /opt/agent-service/lib \
    && /opt/agent-service/bin/pip uninstall -q -y pip

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="agent-service" \
      org.opencontainers.image.description="Puts a DSPy program behind an HTTP API that holds up in production" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# /app is where programs of your own lie: AGENT_PROGRAM=my_agents:support finds /app/my_agents.py.
RUN groupadd --gid 10001 agent && useradd --uid 10001 --gid agent --home-dir /app --no-create-home --shell /usr/sbin/nologin agent \
    && mkdir -p /app /data && chown agent:agent /data
COPY --from=build /opt/agent-service /opt/agent-service
ENV PATH=/opt/agent-service/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    LOG_FORMAT=json \
    MEMORY_PATH=/data/agent-service.db \
    SERVER_HOST=0.0.0.0 \
    SERVER_PORT=3000
WORKDIR /app
USER 10001:10001
VOLUME /data
EXPOSE 3000
# Stop it with more time than SHUTDOWN_GRACE_SECS: see docs/operations.md.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "import os, ssl, urllib.request; tls = os.environ.get('SERVER_TLS_CERT_FILE'); urllib.request.urlopen(f\"http{'s' if tls else ''}://127.0.0.1:{os.environ['SERVER_PORT']}/api/v1/live\", timeout=2, context=ssl._create_unverified_context() if tls else None)"]
ENTRYPOINT ["agent-service"]
CMD ["serve"]
