"""The duel: userspace WireGuards against each other on one machine, taking turns.

    left                                    right
    eth0 10.0.0.1  -------- veth --------  eth0 10.0.0.2
    wg0  192.168.241.1  === tunnel ===  wg0  192.168.241.2

contestants  who takes part, how each starts    arena    one pair of ends, set up, taken down
meter        memory, CPU, wake-ups from /proc   flood    the UDP sender and receiver
trials       what is measured                   rounds   who measures what when
summary      medians, spread, ratios, targets   machine  what the numbers belong to
table        the end of the run as text         page     the same as one HTML page
chart        one figure as inline SVG           page.css, page.js   how that looks, what it does
"""
