"""Asks the running kernel about a live process, without stopping, signalling or waking it.

`snapshot.take(pid)` reads, `diagnose.diagnose(snapshot)` judges, `Look.lines()` writes the `#` lines that
stand at the head of a recording, `facts.host_facts()` says what the host's settings are. Only /proc, sock_diag netlink
and `pidfd_getfd` are used: any ptrace stop ends an `epoll_wait` of the target with EINTR, these do not.
"""
