"""The primitives of WireGuard in plain Python: slow, short, and independent of what is tested."""

import hashlib
import hmac
import struct

P = 2 ** 255 - 19
CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
LABEL_MAC1 = b"mac1----"
LABEL_COOKIE = b"cookie--"
BASE_POINT = (9).to_bytes(32, "little")
# Those of netns.sh: all there are, with those that are equal to them modulo 2^255 - 19.
LOW_ORDER = [
    bytes(32), b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    *[bytes([first]) + b"\xff" * 30 + b"\x7f" for first in (0xec, 0xed, 0xee)]]


def x25519(scalar, point):
    """RFC 7748, section 5: the Montgomery ladder."""
    k = int.from_bytes(scalar, "little") & ~7 & ~(1 << 255) | 1 << 254
    x1 = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swapped = 1, 0, x1, 1, 0
    for position in reversed(range(255)):
        bit = k >> position & 1
        if bit != swapped:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def blake2s(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def mac(key, data):
    return hashlib.blake2s(data, key=key, digest_size=16).digest()


def kdf(count, key, data):
    """HKDF over HMAC-BLAKE2s: as many outputs of 32 bytes as asked for."""
    secret, output, outputs = hmac.new(key, data, hashlib.blake2s).digest(), b"", []
    for number in range(1, count + 1):
        output = hmac.new(secret, output + bytes([number]), hashlib.blake2s).digest()
        outputs.append(output)
    return outputs


def _quarter(s, a, b, c, d):
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = s[x] + s[y] & 0xFFFFFFFF
        mixed = s[z] ^ s[x]
        s[z] = (mixed << turn | mixed >> 32 - turn) & 0xFFFFFFFF


def chacha20_block(key, counter, nonce):
    start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), counter,
             *struct.unpack("<3I", nonce)]
    s = list(start)
    for _ in range(10):
        for column in range(4):
            _quarter(s, column, column + 4, column + 8, column + 12)
        for row in range(4):
            _quarter(s, row, 4 + (row + 1) % 4, 8 + (row + 2) % 4, 12 + (row + 3) % 4)
    return struct.pack("<16I", *((x + y) & 0xFFFFFFFF for x, y in zip(s, start)))


def hchacha20(key, nonce):
    """The key for the rest of XChaCha20's nonce."""
    s = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key),
         *struct.unpack("<4I", nonce)]
    for _ in range(10):
        for column in range(4):
            _quarter(s, column, column + 4, column + 8, column + 12)
        for row in range(4):
            _quarter(s, row, 4 + (row + 1) % 4, 8 + (row + 2) % 4, 12 + (row + 3) % 4)
    return struct.pack("<8I", *s[:4], *s[12:])


def _chacha20(key, nonce, data):
    blocks = (chacha20_block(key, 1 + index, nonce) for index in range((len(data) + 63) // 64))
    return bytes(x ^ y for x, y in zip(data, b"".join(blocks)))


def _poly1305(key, nonce, ciphertext, associated):
    one_time = chacha20_block(key, 0, nonce)
    r = int.from_bytes(one_time[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    text = b"".join(part + bytes(-len(part) % 16) for part in (associated, ciphertext))
    text += struct.pack("<QQ", len(associated), len(ciphertext))
    total = 0
    for start in range(0, len(text), 16):
        total = (total + int.from_bytes(text[start:start + 16] + b"\1", "little")) * r
        total %= 2 ** 130 - 5
    total += int.from_bytes(one_time[16:32], "little")
    return (total & 2 ** 128 - 1).to_bytes(16, "little")


def _nonce(counter):
    return bytes(4) + struct.pack("<Q", counter)


def seal(key, counter, plaintext, associated=b""):
    ciphertext = _chacha20(key, _nonce(counter), plaintext)
    return ciphertext + _poly1305(key, _nonce(counter), ciphertext, associated)


def open_sealed(key, counter, sealed, associated=b""):
    """The plaintext; ValueError when the tag is not the right one."""
    ciphertext, tag = sealed[:-16], sealed[-16:]
    if not hmac.compare_digest(tag, _poly1305(key, _nonce(counter), ciphertext, associated)):
        raise ValueError("bad tag")
    return _chacha20(key, _nonce(counter), ciphertext)
