"""Embedding networks behind one small interface."""
