"""Proof of an idle limit: silent connections, one for each waiting time, and one empty keepalive probe on each at its end.

The probe is the kernel's (tcp(7) TCP_KEEPIDLE): no payload, so it serves for any TCP service. A control group that is
probed from the start tells a limit on silence from a path or peer that went away.
"""
