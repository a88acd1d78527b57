"""Bytes to heartbeats and back.  No sockets, no clock."""
