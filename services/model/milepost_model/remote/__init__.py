"""A model behind any URL that speaks the OpenAI HTTP API, served over the same gRPC as one that runs here."""
