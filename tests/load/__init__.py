"""Load and faults: what a tunnel keeps while others flood it, change it, or lose its packets.

flood    floods of handshakes with a spoofed source beside a busy tunnel
churn    changes of everything that can be changed, under traffic (what is changed: lab/churn.py)
soak     half an hour of rekeys, roaming, peers that come and go, loss: nothing may leak or stall

attack   the flooder (flooder.cpp) and the ground it stands on
relay    the lossy way between the ends of the soak               books     sent, lost, received
turns    what happens in a soak, and when
result   JSON and Markdown of all three
verdicts_flood, verdicts_soak   what holds, what is missed, and what there is nothing to judge by
"""
