"""What follows from what a soak found. Nothing holds because nothing happened.

A verdict is (claim, what was seen, holds); None for what is not judged.
"""

import statistics

from load import turns
from load.relay import TO_HUB, TO_SPOKE

STALL_S = 10.0
GROWTH_MAX_KB = 512
FLAT_MINUTES_MIN = 5  # before that buffers are still touched for the first time
# A key is refused after 180 s; who waits for an answer sees 15 s later that none comes.
HANDSHAKE_AGE_MAX_S = 180 + 15
REKEY_MINUTES = 3  # every two by themselves, a lost one and its retries included
PARTS = ("live_s", "handshakes", "chats", "books", "moved", "echoes")


def is_ours(member):
    return not member.startswith(("spoke-wireguard-go", "spoke-debian-go", "spoke-boringtun",
                                  "spoke-gotatun"))


def growth(samples, member):
    """{sign: (in the third fifth of the run, in the last)}, of medians."""
    own = [one for one in samples if one["member"] == member]
    fifth = max(1, len(own) // 5)
    early, late = own[2 * fifth:3 * fifth] or own[:1], own[-fifth:]
    return {sign: tuple(round(statistics.median(one[sign] for one in part))
                        for part in (early, late))
            for sign in ("rss", "anonymous", "heap", "fds", "threads")}


def verdicts(found, minutes, tcp):
    missing = [part for part in PARTS if not found.get(part)]
    yield "the run came to its end", ", ".join(["without", *missing] if missing else ["yes"]), (
        not missing)
    if not missing:
        yield from of_events(found, tcp)
        yield from of_relay(found)
        yield from of_traffic(found)
        yield from of_handshakes(found, minutes)
        yield from of_books(found)
    yield from of_members(found, minutes)


def of_events(found, tcp):
    """Each kind, and each move as the relay saw it, if the run was long enough for it."""
    spokes, kinds = list(found["moved"]), turns.kinds_of(tcp)
    due = list(turns.due(found["live_s"], kinds, spokes))
    for kind in kinds:
        number = found["events"].get(kind, 0)
        yield (f"there was a {kind}", f"{number} of them",
               number >= 1 if kind in [one for one, _ in due] else None)
    roaming = {turns.who_roams(spoke, spokes, is_ours) for kind, spoke in due if kind == "roam"}
    for spoke, path in zip(spokes, found["books"]["relay"]["paths"]):
        if is_ours(spoke):
            yield (f"{spoke} moved", f"{found['moved'][spoke]} times, the relay saw "
                   f"{path['moves']}", path["moves"] >= 1 if spoke in roaming else None)
    if found["streams"]:
        least, most = min(found["streams"]), max(found["streams"])
        yield "each TCP stream carried something", f"{least} to {most} bytes", least > 0


def of_relay(found):
    """The way that was the least lossy."""
    ways = [path[way] for path in found["books"]["relay"]["paths"] for way in (TO_HUB, TO_SPOKE)]
    lost, behind = (min(way[name] for way in ways) for name in ("data_lost", "behind"))
    yield ("the relay lost datagrams and put some behind on each way",
           f"at least {lost} and {behind}", lost > 0 and behind > 0)


def of_traffic(found):
    for echo in found["echoes"]:
        yield (f"no stall over {STALL_S:.0f} s, {echo['way']}",
               f"longest {echo['longest_s']} s, {echo['answered']} of {echo['sent']} answered",
               not echo["stalls"] and echo["answered"] > 0)
    for chat in found["chats"]:
        yield (f"at least half of the datagrams came, {chat['from']} to {chat['to']}",
               f"{chat['received']} of {chat['sent']}",
               chat["sent"] > 0 and 2 * chat["received"] >= chat["sent"])


def of_handshakes(found, minutes):
    before = int(minutes / REKEY_MINUTES)
    for one in found["handshakes"]:
        yield (f"a handshake not over {HANDSHAKE_AGE_MAX_S} s ago, and at least {before} before, "
               f"{one['way']}", f"{one['handshakes']} were seen, the latest {one['age_s']} s ago",
               one["handshakes"] > before and one["age_s"] <= HANDSHAKE_AGE_MAX_S)


def of_books(found):
    for line in found["books"]["members"]:
        held = line["balanced"]
        yield (f"every lost packet counted, {line['member']}",
               f"read {line['read']}, written {line['written']}; not explained: "
               f"{line['sending']} of those read, {line['taking']} of those sent to it",
               held if held is None else held and line["read"] > 0 and line["written"] > 0)


def of_members(found, minutes):
    for member in dict.fromkeys(one["member"] for one in found["samples"]):
        signs = growth(found["samples"], member)
        seen = ", ".join(f"{sign} {early} to {late}" for sign, (early, late) in signs.items())
        flat = all(signs[sign][1] - signs[sign][0] <= limit for sign, limit in (
            ("rss", GROWTH_MAX_KB), ("anonymous", GROWTH_MAX_KB), ("heap", GROWTH_MAX_KB),
            ("fds", 0), ("threads", 0)))
        judged = is_ours(member) and minutes >= FLAT_MINUTES_MIN
        yield f"memory, files and threads flat, {member}", seen, flat if judged else None
