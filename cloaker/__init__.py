"""Cloaking systems, face geometry and embedding networks: the one room that knows torch."""
