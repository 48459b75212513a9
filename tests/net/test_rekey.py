"""One real rekey: a tunnel that talks for more than two minutes changes its keys unnoticed.

    left  eth0 10.0.0.1  --- wire ---  right  eth0 10.0.0.2

The talks start with the run (fixture `talks` in conftest.py) and go on in the background; these
tests are sorted last and wait only for what is left of the time.
"""

import pytest

from lab import peers
from lab.talk import REKEY_AFTER_S, SPARE_S, names

pytestmark = pytest.mark.background


@pytest.mark.parametrize("name", names())
def test_keys_change_after_120_seconds_and_no_packet_is_lost(talk, name):
    talk.wait()
    assert REKEY_AFTER_S <= talk.second - talk.first <= REKEY_AFTER_S + SPARE_S
    if not peers.is_rust(talk.pair.right.daemon.implementation):  # boringtun shows another time
        assert talk.pair.right.view(talk.pair.left).latest_handshake > talk.first
    # Who began the first begins the second; the other is content.
    assert talk.begun_by_ours == (1 if talk.ours_began else 0)
    assert talk.lost() == 0
