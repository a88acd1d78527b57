"""The measurements.  Each module has `run(plan)`, which adds rows to the plan's results."""
