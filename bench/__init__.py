"""Measures `had` beside other failover daemons, in one run on one machine.  See bench/README.md."""
