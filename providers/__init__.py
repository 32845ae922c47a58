"""Adapters to face-recognition services, and emulators that speak their wire protocols."""
