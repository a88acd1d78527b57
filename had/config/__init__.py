"""had.conf and the command line to one frozen, fully checked settings object."""
