"""OpenTelemetry traces of requests, queries, calls of models and tools. Imported only when switched on."""
