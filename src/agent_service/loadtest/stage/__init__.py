"""The processes of a load test: simulated model, the service, and what it is compared with."""
