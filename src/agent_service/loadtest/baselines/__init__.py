"""The same program behind FastAPI, as a user would write it: what the service is compared with."""
