"""Every packet that went in came out or is counted: the books of the soak.

Of each daemon of ours, since its start, in packets with something in them:

    read from TUN      =  heard by the relay  +  its socket's drops  +  counted as not sent
    sent by the relay  =  written to TUN, its own ICMP left out  +  counted as not taken

A message without anything in it (handshake, keepalive) that is refused is counted among the same
drops, so the right side of the second line may be larger, by no more than there were such messages.
"""

from lab.counters import counters
from load.relay import TO_HUB, TO_SPOKE

NOT_SENT = ("no_route", "no_endpoint", "staged_overflow", "staged_abandoned", "no_buffer",
            "no_identity", "too_long")
NOT_TAKEN = ("unknown_index", "expired_key", "bad_tag", "replayed", "bad_inner", "wrong_source",
             "link_down", "malformed")
LOST_SENDING = ("udp_backlog_full", "udp_no_socket")
LOST_RECEIVING = ("udp_truncated", "udp_no_buffer", "udp_kernel_dropped", "tun_after_end")


def picked(counted, title, names):
    return sum(counted[f"{title}.{name}"] for name in names)


def wire_of(star, report, member):
    """What the relay heard of a member and sent to it, over all paths of that member."""
    if member is star.hub:
        paths, there, back = report["paths"], TO_SPOKE, TO_HUB
    else:
        paths, there, back = [report["paths"][member.number - 1]], TO_HUB, TO_SPOKE
    return {"heard": sum(path[there]["data_in"] for path in paths),
            "relay_dropped": sum(path[there]["kernel_dropped"] for path in paths),
            "sent_to": sum(path[back]["data_out"] for path in paths),
            "others_to": sum(path[back]["other_out"] for path in paths)}


def of_ours(star, report, member, exact_sending):
    """The two lines of a daemon of ours; `exact_sending` is false where super-packets were read.

    ICMP that says "unreachable" is made by nobody else here than by the daemon, for its own TUN.
    """
    wire, counted = wire_of(star, report, member), counters(member.daemon)
    kernel = member.kernel_counters()
    not_sent = (picked(counted, "dropped", NOT_SENT) + counted.all_of("send errors")
                + picked(counted, "lost in the engine", LOST_SENDING))
    sending = counted["packets.tun_read"] - wire["heard"] - wire["relay_dropped"] - not_sent
    not_taken = (picked(counted, "dropped", NOT_TAKEN) + counted.all_of("tun errors")
                 + picked(counted, "lost in the engine", LOST_RECEIVING)
                 + kernel.get("Ip.InAddrErrors", 0))  # to an address that it had before
    icmp = kernel.get("IcmpMsg.InType3", 0)
    taking = wire["sent_to"] - (counted["packets.tun_written"] - icmp) - not_taken
    if exact_sending:
        # What is refused of messages with nothing in them is not in tun_read either.
        balanced = -wire["others_to"] <= sending <= 0
    else:
        balanced = sending <= 0
    return {"member": member.name, "read": counted["packets.tun_read"], "not_sent": not_sent,
            "sending": sending, **wire, "written": counted["packets.tun_written"], "icmp": icmp,
            "not_taken": not_taken, "taking": taking, "counters": counted.nonzero(),
            "kernel": kernel,
            "balanced": balanced and -wire["others_to"] <= taking <= 0}


def of_other(star, report, member):
    """Without counters of its own: what its link says, for information."""
    wire = wire_of(star, report, member)
    read, written = (member.space.link_count("wg0", f"{way}_packets") for way in ("tx", "rx"))
    return {"member": member.name, "read": read, "sending": read - wire["heard"], **wire,
            "written": written, "taking": wire["sent_to"] - written, "balanced": None}


def closed(star, loose):
    """The books of all members; `loose` has those whose TUN gave super-packets."""
    report = star.relay.ask()
    lines = [of_ours(star, report, star.hub, True)]
    lines += [of_ours(star, report, spoke, spoke not in loose) if spoke.ours
              else of_other(star, report, spoke) for spoke in star.spokes]
    return {"relay": report, "members": lines}
