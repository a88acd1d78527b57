"""had: keeps a service alive on a few machines."""

__version__ = "2.0.0"
