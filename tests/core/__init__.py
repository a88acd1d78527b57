"""Tests of the decisions: rules, transitions, properties; in virtual time, by the driver in world.py."""
