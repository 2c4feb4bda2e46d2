"""The HTTP endpoints that ordinary OpenAI clients use, over the same engine as gRPC."""
