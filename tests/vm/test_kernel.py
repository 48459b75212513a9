"""The daemon under test against the kernel's own WireGuard in a virtual machine.

The addresses are drawn in guest/meeting.py.
"""

import pytest

from lab.traffic import ping


@pytest.fixture(params=["ours", "kernel"])
def begins(request):
    return request.param


@pytest.mark.parametrize("psk", [False, True])
def test_handshake_and_pings(meet, each_engine, begins, psk):
    meeting = meet(each_engine, psk=psk)
    first, second = meeting.ends(begins)
    if begins == "ours":
        ping(meeting.ours.space, meeting.kernel.inner4)
    else:
        print(meeting.machine.run("ping", "-c", 1, "-W", 5, meeting.ours.inner4))
    assert second.view(first).endpoint == first.endpoint(4)
