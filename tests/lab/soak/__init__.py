"""The soak: real clusters under random faults for minutes or hours, `make soak`.

Several clusters run beside each other, each in a process of its own, as a lane:

- steady: three nodes whose daemons are never killed, so that their memory and descriptors can be watched;
- safe: two or three nodes and every fault that may not lead to two runners;
- wild: those that may, too.

A round is a storm and a calm.  In the storm things are done at random (storm.py); in the calm all of it is
taken back, and one node, and one only, must run the services within a bound that follows from the settings
(round.py).  Meanwhile somebody watches the machine, the logs and the services (watch.py).

One seed decides what is done; when it is done, and what comes of it, is the machine's affair.
"""
