"""Keys and `wg`: everything goes through the tool that operators use."""

import base64

from lab.run import run


class Key:
    """A private key and its public key, both as `wg` prints them."""

    def __init__(self, private=None):
        self.private = private or run(["wg", "genkey"]).out.strip()
        self.public = run(["wg", "pubkey"], text=self.private).out.strip()

    @property
    def private_hex(self):
        return to_hex(self.private)

    @property
    def public_hex(self):
        return to_hex(self.public)


def to_hex(key):
    return base64.b64decode(key).hex()


def from_hex(key):
    return base64.b64encode(bytes.fromhex(key)).decode()


def preshared_key():
    return run(["wg", "genpsk"]).out.strip()


class PeerState:
    """One peer line of `wg show IF dump`."""

    def __init__(self, fields):
        (self.public_key, psk, endpoint, allowed, handshake, rx, tx, keepalive) = fields
        self.preshared_key = None if psk == "(none)" else psk
        self.endpoint = None if endpoint == "(none)" else endpoint
        self.allowed_ips = [] if allowed == "(none)" else allowed.split(",")
        self.latest_handshake = int(handshake)
        self.rx_bytes, self.tx_bytes = int(rx), int(tx)
        self.persistent_keepalive = 0 if keepalive == "off" else int(keepalive)


class DeviceState:
    """`wg show IF dump`: the device line, then peers in the order given."""

    def __init__(self, text):
        lines = [line.split("\t") for line in text.strip().split("\n")]
        private, public, port, fwmark = lines[0]
        self.private_key = None if private == "(none)" else private
        self.public_key = None if public == "(none)" else public
        self.listen_port = int(port)
        self.fwmark = 0 if fwmark == "off" else int(fwmark, 16)
        self.peers = [PeerState(fields) for fields in lines[1:]]

    def peer(self, public_key):
        return next(peer for peer in self.peers if peer.public_key == public_key)


class Wg:
    """`wg` on one interface of one space."""

    def __init__(self, space, ifname):
        self.space, self.ifname = space, ifname

    def tool(self, *words, **options):
        return self.space.run("wg", *words, **options)

    def set(self, words, **options):
        return self.tool("set", self.ifname, *words.split(), **options)

    def set_private_key(self, key):
        """None removes it: for `wg`, /dev/null is the key file that means no key."""
        return self.tool("set", self.ifname, "private-key", "/dev/stdin" if key else "/dev/null",
                         text=key)

    def set_preshared_key(self, public_key, key):
        return self.tool("set", self.ifname, "peer", public_key, "preshared-key",
                         "/dev/stdin" if key else "/dev/null", text=key)

    def configure(self, verb, text, **options):
        """setconf, addconf, or syncconf from text."""
        return self.tool(verb, self.ifname, "/dev/stdin", text=text, **options)

    def show(self, *words):
        return self.tool("show", self.ifname, *words).out

    def showconf(self):
        return self.tool("showconf", self.ifname).out

    def dump(self):
        return DeviceState(self.show("dump"))

    def peer(self, public_key):
        return self.dump().peer(public_key)
