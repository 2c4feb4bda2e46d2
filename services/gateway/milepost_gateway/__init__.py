"""HTTP for people and their clients: REST and one stream of events over the gRPC API, and the web UI."""
