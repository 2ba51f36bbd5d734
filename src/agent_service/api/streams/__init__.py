"""Event streams over HTTP: server-sent events of a query, live and resumed."""
