"""Everything the end-to-end tests stand on: namespaces, daemons, `wg`, traffic, captures.

run     one bounded command              space   one network namespace with its own /run and pids
daemon  one userspace WireGuard process  pair    two spaces, a wire between them, a tunnel over it
wgtool  keys, `wg` and its dump          uapi    the configuration socket spoken by hand
traffic ping, iperf3, UDP echoes         capture tcpdump and tshark
flood   what brings one under load       retries second tries, for the report
churn   every change of a tunnel, under traffic
peer    a second WireGuard in Python     peers   other implementations and where they come from
"""
