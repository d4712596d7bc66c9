"""Fakes: each implements a port, none patches anything."""
