"""Backends that run tasks: this machine, a cluster, or Nipype."""
