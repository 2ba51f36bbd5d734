"""Keys over HTTP: where a request carries one, which routes ask for one, and whom its caller may ask for."""
