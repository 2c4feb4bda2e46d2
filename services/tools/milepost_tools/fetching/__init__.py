"""The tool httpFetch, and what keeps it from where it must not go."""
