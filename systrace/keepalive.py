"""TCP keepalive: what the kernel does by itself, and what is advised against a silence that boxes in the path do not bear.

Nothing is imported here: `run` waits for it before it starts a job.
"""

KEEPALIVE_IDLE_S = 7200  # tcp(7) tcp_keepalive_time, unless the host is tuned
# Silence before the first probe, time between probes, probes: a dead peer is known after two minutes.
IDLE_S, INTERVAL_S, COUNT = 60, 15, 4
ADVISED = f"{IDLE_S},{INTERVAL_S},{COUNT}"
ADVISED_SYSCTLS = (
    f"sysctl -w net.ipv4.tcp_keepalive_time={IDLE_S} net.ipv4.tcp_keepalive_intvl={INTERVAL_S} "
    f"net.ipv4.tcp_keepalive_probes={COUNT}"
)
