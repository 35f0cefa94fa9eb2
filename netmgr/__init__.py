"""Processes and people: Kubernetes API, controller, agent, speaker, installer and command line."""

__version__ = "0.1.0"
