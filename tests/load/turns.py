"""What happens in a soak, and when: kinds of events take turns, each with spoke after spoke.

A run is judged by what a schedule of its length holds at least, however slow each event was.
"""

FORGOTTEN_S, TCP_S, TCP_LATE_S = 2.0, 4, 10
SLOW_S = {"roam": 2, "forget": FORGOTTEN_S + 2, "strangers": 2, "stream": TCP_S + TCP_LATE_S + 2}
LOOK_S = 1.0  # at memory and handshakes, in between


def kinds_of(tcp):
    return ("roam", "forget", "strangers") + (("stream",) if tcp else ())


def turn(order, kinds, spokes):
    """(kind, spoke) of the event of that number."""
    return kinds[order % len(kinds)], spokes[order // len(kinds) % len(spokes)]


def who_roams(spoke, spokes, is_ours):
    """One written by others keeps a source that is no longer an address: the first moves for it."""
    return spoke if is_ours(spoke) else spokes[0]


def pause_s(live_s):
    """Between events: so short that each kind comes a few times."""
    return max(5.0, min(20.0, live_s / 16))


def last_s(live_s):
    """No event begins later: what it stirs has to settle."""
    return live_s - 2 * pause_s(live_s)


def due(live_s, kinds, spokes):
    """The (kind, spoke) that have had their turn in a run of that length."""
    at, order = pause_s(live_s), 0
    while at < last_s(live_s):
        kind, spoke = turn(order, kinds, spokes)
        yield kind, spoke
        at, order = at + SLOW_S[kind] + LOOK_S + pause_s(live_s), order + 1
