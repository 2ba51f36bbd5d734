"""The OpenAI-compatible endpoints: a program is a model. The protocol is that of OpenAI's API reference."""
