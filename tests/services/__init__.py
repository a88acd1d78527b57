"""The service scripts, each run for real as far as that can be."""
