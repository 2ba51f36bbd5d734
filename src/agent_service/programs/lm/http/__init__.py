"""An HTTP/1.1 client for calls of language models: requests sent whole, answers read as they come."""
