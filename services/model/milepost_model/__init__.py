"""A language model behind gRPC: ModelService for tokens, CapabilityService for work in a role."""
