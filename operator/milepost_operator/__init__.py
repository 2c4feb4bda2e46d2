"""The operator: from custom resources to workloads. `planning` decides without I/O, and local mode uses it too."""
