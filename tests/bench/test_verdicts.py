"""What the runs of ./dev load are judged by, on made-up samples: what must hold, what must not."""

import copy
import sys
import types

import pytest
from conftest import ROOT

sys.path.append(str(ROOT / "tests"))

from lab.counters import Counted  # noqa: E402
from load import books, result, turns, verdicts_flood, verdicts_soak  # noqa: E402
from load.relay import TO_HUB, TO_SPOKE  # noqa: E402

NAME = "ours-epoll"
SPOKES = ["spoke-epoll", "spoke-uring", "spoke-debian-go"]


def judged(verdicts):
    """{claim: holds}; each claim is made once."""
    found = list(verdicts)
    assert len({claim for claim, _, _ in found}) == len(found)
    assert all(holds in result.HOLDS and isinstance(seen, str) for _, seen, holds in found)
    return {claim: holds for claim, _, holds in found}


def only(claims, words):
    """What became of the one claim that has these words in it."""
    [holds] = [holds for claim, holds in claims.items() if words in claim]
    return holds


# --- floods ---

def window(kind, number, **figures):
    flood = 0 if kind == "none" else 300
    counters = ({"dropped.cookie_sent": 100000, "dropped.bad_handshake": 5}
                if kind in verdicts_flood.MAC1_KINDS else {})
    return {"contestant": NAME, "trial": "throughput", "kind": kind, "round": number,
            "figures": {"gbps": 2.0, "flood_kpps": flood, "flooder_cpu_percent": flood and 95,
                        "victim_cpu_percent": 90, "seconds": 4.0, **figures},
            "counters": counters, "VmRSS": 15000, "VmHWM": 16000}


def flood_samples():
    samples = [window(kind, number) for number in (1, 2)
               for kind in ("none", "nowhere", "garbage", *verdicts_flood.MAC1_KINDS)]
    base = {"contestant": NAME, "round": 1}
    samples.append({**base, "trial": "newcomers", "kind": "mac1", "mbits": 100,
                    "initiations": [1, 2, 2, 3]})
    for kind, sources, granted in (("proven", 8, 500), ("cap", 1 << 20, 900000)):
        samples.append({**base, "trial": "proven", "kind": kind, "proven": sources,
                        "granted": granted, "granted_max": 1000000 if kind == "cap" else 520,
                        "before_kb": 15000, "VmRSS": 17000, "VmHWM": 18000})
    return samples


def of_flood(samples, rate=0):
    return judged(verdicts_flood.verdicts(samples, NAME, 0.9, rate))


def flood_with(changed, rate=0, **values):
    """The verdicts when the samples that `changed` picks have these values."""
    samples = flood_samples()
    picked = [one for one in samples if changed(one)]
    assert picked
    for one in picked:
        part = one["figures"] if set(values) <= set(one.get("figures", ())) else one
        part.update(copy.deepcopy(values))
    return of_flood(samples, rate)


def kind_is(*kinds, trial="throughput"):
    return lambda one: one["kind"] in kinds and one["trial"] == trial


def test_a_good_flood_holds_in_all():
    claims = of_flood(flood_samples())
    assert len(claims) == 5 + 1 + 4 + 2 + 1 and all(holds is True for holds in claims.values())


@pytest.mark.parametrize("changed, values, words", [
    (kind_is("sources"), {"gbps": 1.7}, "throughput beside sources "),
    (kind_is("mac1", trial="newcomers"), {"initiations": [1, 2, 2, 4]}, "new peers"),
    (kind_is("mac1", trial="newcomers"), {"initiations": [1, 2, 2, None]}, "new peers"),
    (kind_is("mac2"), {"counters": {"dropped.cookie_sent": 9, "dropped.bad_handshake": 4000}},
     "computed beside mac2"),
    (kind_is("mac2"), {"counters": {}}, "computed beside mac2"),
    (kind_is(*verdicts_flood.MAC1_KINDS), {"counters": {}}, "computed beside sources6"),
    (kind_is("proven", trial="proven"), {"granted": 0}, "each proven source"),
    (kind_is("proven", trial="proven"), {"granted": 521}, "each proven source"),
    (kind_is("cap", trial="proven"), {"VmHWM": 15000 + 8193}, "proven sources cost"),
    (lambda one: one["round"] == 2, {"VmRSS": 15513}, "memory flat"),
])
def test_what_a_flood_misses_is_missed(changed, values, words):
    assert only(flood_with(changed, **values), words) is False


@pytest.mark.parametrize("changed, values, rate, words", [
    (kind_is("garbage"), {"flood_kpps": 149}, 0, "throughput beside garbage"),
    (kind_is("garbage"), {"flood_kpps": 30}, 50000, "throughput beside garbage"),
    (kind_is("mac1"), {"flood_kpps": 0.5}, 0, "computed beside mac1"),
    (kind_is("cap", trial="proven"), {"proven": 65536}, 0, "proven sources cost"),
    (lambda one: one["round"] == 2, {"round": 1}, 0, "memory flat"),
    (kind_is("nowhere"), {"kind": "none"}, 0, "throughput beside mac2"),
])
def test_what_was_not_flooded_is_not_judged(changed, values, rate, words):
    assert only(flood_with(changed, rate, **values), words) is None


@pytest.mark.parametrize("kpps, rate", [(240, 300000), (150, 0)])
def test_a_flood_that_came_is_judged(kpps, rate):
    changed = flood_with(kind_is("garbage"), rate, flood_kpps=kpps)
    assert only(changed, "throughput beside garbage") is True


# --- soaks ---

def way():
    return {"data_lost": 900, "other_lost": 3, "behind": 880, "data_in": 90000}


def soaked(kinds=turns.kinds_of(True)):
    """Half an hour, as it should be."""
    pairs = [(one, other) for spoke in SPOKES for one, other in ((spoke, "hub"), ("hub", spoke))]
    members = ["hub", *SPOKES]
    sample = {"rss": 13000, "anonymous": 3000, "heap": 220, "fds": 89, "threads": 4}
    return {
        "samples": [{"at": at, "member": member, **sample}
                    for at in range(0, 1800, 10) for member in members],
        "failures": [], "live_s": 1797.0, "events": dict.fromkeys(kinds, 20),
        "moved": {"spoke-epoll": 14, "spoke-uring": 6, "spoke-debian-go": 0},
        "streams": [9_000_000] * 20,
        "handshakes": [{"way": f"{one} with {other}", "handshakes": 17, "age_s": 80}
                       for one, other in pairs],
        "chats": [{"from": one, "to": other, "sent": 180000, "refused": 0, "received": 175000}
                  for one, other in pairs],
        "echoes": [{"way": f"{one} to {other}", "sent": 1800, "answered": 1750, "stalls": [],
                    "longest_s": 3.0} for one, other in pairs],
        "books": {"relay": {"paths": [{"moves": moves, TO_HUB: way(), TO_SPOKE: way()}
                                      for moves in (14, 6, 0)]},
                  "members": [{"member": member, "read": 500000, "written": 600000, "sending": 0,
                               "taking": 0, "balanced": None if "go" in member else True}
                              for member in members]}}


def of_soak(found, minutes=30, tcp=True):
    return judged(verdicts_soak.verdicts(found, minutes, tcp))


def test_a_good_soak_holds_but_for_what_is_not_ours():
    claims = of_soak(soaked())
    assert {claim for claim, holds in claims.items() if holds is not True} == {
        "every lost packet counted, spoke-debian-go",
        "memory, files and threads flat, spoke-debian-go"}


def put(found, path, value):
    *way_there, last = path
    for step in way_there:
        found = found[step]
    found[last] = value


@pytest.mark.parametrize("path, value, words", [
    *((("events", kind), 0, f"there was a {kind}") for kind in turns.kinds_of(True)),
    *((("books", "relay", "paths", number, "moves"), 0, f"{SPOKES[number]} moved")
      for number in (0, 1)),
    (("books", "relay", "paths", 1, TO_HUB, "data_lost"), 0, "the relay lost"),
    (("books", "relay", "paths", 2, TO_SPOKE, "behind"), 0, "the relay lost"),
    (("streams", 3), 0, "each TCP stream"),
    (("handshakes", 5, "age_s"), 196, "ago, and at least 10 before, hub with spoke-debian-go"),
    (("handshakes", 0, "handshakes"), 10, "ago, and at least 10 before, spoke-epoll with hub"),
    (("chats", 1, "received"), 89999, "half of the datagrams came, hub to spoke-epoll"),
    (("chats", 1), {"from": "a", "to": "b", "sent": 0, "received": 0}, "came, a to b"),
    (("echoes", 2, "stalls"), [10.2], "no stall over 10 s, spoke-uring to hub"),
    (("echoes", 2, "answered"), 0, "no stall over 10 s, spoke-uring to hub"),
    (("books", "members", 0, "balanced"), False, "every lost packet counted, hub"),
    (("books", "members", 1, "read"), 0, "every lost packet counted, spoke-epoll"),
    (("books", "members", 1, "written"), 0, "every lost packet counted, spoke-epoll"),
    (("echoes",), [], "the run came to its end"),
    (("handshakes",), [], "the run came to its end"),
])
def test_what_a_soak_misses_is_missed(path, value, words):
    found = soaked()
    put(found, path, value)
    assert only(of_soak(found), words) is False


@pytest.mark.parametrize("sign, more", [("rss", 513), ("anonymous", 513), ("heap", 513),
                                        ("fds", 1), ("threads", 1)])
def test_what_grows_is_missed_in_a_run_that_is_long_enough(sign, more):
    found = soaked()
    for one in found["samples"]:
        one[sign] += more if one["at"] >= 1440 and one["member"] == "hub" else 0
    assert only(of_soak(found), "flat, hub") is False
    assert only(of_soak(found, minutes=4), "flat, hub") is None
    assert only(of_soak(found), "flat, spoke-epoll") is True


def test_a_run_that_broke_off_is_judged_by_nothing_else_but_missed():
    claims = of_soak({"samples": [], "failures": ["LabError"]})
    assert claims == {"the run came to its end": False}


def test_a_short_soak_owes_only_what_there_was_time_for():
    found = soaked()
    found.update(live_s=28.0, events={"roam": 1, "forget": 1}, streams=[])
    found["books"]["relay"]["paths"][1]["moves"] = 0
    for one in found["handshakes"]:
        one["handshakes"] = 1
    claims = of_soak(found, minutes=0.5, tcp=False)
    assert only(claims, "there was a roam") is True and only(claims, "spoke-epoll moved") is True
    assert only(claims, "there was a strangers") is None
    assert only(claims, "spoke-uring moved") is None
    assert not any("stream" in claim for claim in claims)
    assert all(holds is not False for holds in claims.values())
    found["events"] = {"roam": 1}
    assert only(of_soak(found, minutes=0.5, tcp=False), "there was a forget") is False


def test_a_schedule_owes_each_kind_within_a_minute_and_each_move_within_half_an_hour():
    kinds = turns.kinds_of(True)
    assert {kind for kind, _ in turns.due(57, kinds, SPOKES)} == set(kinds)
    assert ("roam", "spoke-uring") in set(turns.due(1797, kinds, SPOKES))
    assert list(turns.due(12, kinds, SPOKES)) == []


# --- books ---

class Member(types.SimpleNamespace):
    def kernel_counters(self):
        return self.kernel


def star(**hub):
    """Two spokes and a hub that is as told, all of ours."""
    members = [Member(name=name, number=number, daemon=name, kernel={})
               for number, name in enumerate(("hub", "spoke-1", "spoke-2"))]
    vars(members[0]).update(hub)
    return types.SimpleNamespace(hub=members[0], spokes=members[1:])


def on_the_wire():
    """Each way of each path: 100 in, 98 out."""
    counted = {"data_in": 100, "data_out": 98, "other_out": 2, "kernel_dropped": 0}
    return {"paths": [{TO_HUB: dict(counted), TO_SPOKE: dict(counted)} for _ in range(2)]}


def line_of_hub(monkeypatch, counted, exact=True, report=None, **hub):
    ground = star(**hub)
    monkeypatch.setattr(books, "counters", lambda daemon: Counted(
        {"packets.tun_read": 200, "packets.tun_written": 196, **counted}))
    return books.of_ours(ground, report or on_the_wire(), ground.hub, exact)


def test_books_of_a_daemon_that_loses_nothing_balance(monkeypatch):
    line = line_of_hub(monkeypatch, {})
    assert line["balanced"] is True and line["sending"] == line["taking"] == 0


@pytest.mark.parametrize("counted", [
    {"packets.tun_read": 201},     # one more was read than went out
    {"packets.tun_read": 195},     # more went out than can be handshakes refused
    {"packets.tun_written": 195},  # one less was written than came
    {"packets.tun_written": 201},  # more was written than came
    {"dropped.bad_tag": 5},        # more is counted than was lost
])
def test_books_with_a_packet_nobody_counted_do_not_balance(monkeypatch, counted):
    assert line_of_hub(monkeypatch, counted)["balanced"] is False


@pytest.mark.parametrize("counted", [
    {"packets.tun_read": 201, "dropped.staged_overflow": 1},
    {"packets.tun_read": 202, "send errors.other": 1, "lost in the engine.udp_no_socket": 1},
    {"packets.tun_written": 194, "dropped.replayed": 1, "tun errors.other": 1},
    {"packets.tun_written": 195, "lost in the engine.udp_kernel_dropped": 1},
    {"dropped.unknown_index": 4},  # of a handshake, as many as there were
])
def test_books_with_every_loss_counted_balance(monkeypatch, counted):
    assert line_of_hub(monkeypatch, counted)["balanced"] is True


def test_books_know_what_the_kernel_and_the_relay_dropped(monkeypatch):
    report = on_the_wire()
    report["paths"][0][TO_SPOKE]["kernel_dropped"] = 3
    assert line_of_hub(monkeypatch, {"packets.tun_read": 203}, report=report)["balanced"] is True
    kernel = {"IcmpMsg.InType3": 7, "Ip.InAddrErrors": 2}
    for written, balanced in ((201, True), (200, False)):
        line = line_of_hub(monkeypatch, {"packets.tun_written": written}, kernel=kernel)
        assert line["balanced"] is balanced


def test_books_with_super_packets_are_exact_in_what_was_taken_alone(monkeypatch):
    few = {"packets.tun_read": 20}
    assert line_of_hub(monkeypatch, few, exact=True)["balanced"] is False
    assert line_of_hub(monkeypatch, few, exact=False)["balanced"] is True
    few["packets.tun_written"] = 195
    assert line_of_hub(monkeypatch, few, exact=False)["balanced"] is False


def test_a_spoke_is_judged_by_its_own_path(monkeypatch):
    ground, report = star(), on_the_wire()
    report["paths"][0][TO_HUB]["data_in"] = 1000
    monkeypatch.setattr(books, "counters", lambda daemon: Counted(
        {"packets.tun_read": 100, "packets.tun_written": 98}))
    lines = [books.of_ours(ground, report, spoke, True) for spoke in ground.spokes]
    assert [line["balanced"] for line in lines] == [False, True]
