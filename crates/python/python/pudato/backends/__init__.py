"""Backends: where objects and registries are stored."""
