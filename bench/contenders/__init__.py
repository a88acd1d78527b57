"""The daemons that are measured, each with its own way of being configured and asked."""
