"""The Kubernetes API as a pod asks it: list and watch, with its own token. Needs httpx, which few processes have."""
