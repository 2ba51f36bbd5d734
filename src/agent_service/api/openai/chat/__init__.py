"""POST /v1/chat/completions: the conversation is what the client sends."""
