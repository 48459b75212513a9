#!/usr/bin/env python3
"""Guard: what the archives of base, crypto and noise ask the outside for (nm -u).

Nothing undefined there may be a clock, a socket, a file, randomness of the system, memory of the
heap, a thread or a log. The rule is a list of what is allowed: anything else is a fault, so that
what allocates inside libstdc++ cannot hide behind a name that nobody thought of.
"""
import argparse
import collections
import pathlib
import re
import subprocess
import sys

import source

# What a compiler or its run-time puts in, in every room.
RUNTIME = (
    r"mem(cpy|move|set|cmp|chr)|strlen|__(mem(cpy|move|set))_chk|bcmp",
    r"__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__tls_get_addr|__dso_handle",
    r"abort|_ZSt9terminatev|__cxa_(pure_virtual|begin_catch)|__clang_call_terminate",
    r"_Unwind_Resume|__g[xc][xc]_personality_v0|DW\.ref\.__gxx_personality_v0",
    r"_ZSt21__glibcxx_assert_fail.*|_ZSt20__throw_length_error.*|_ZSt17__throw_bad_alloc.*",
    r"_ZSt28__throw_bad_array_new_lengthv|_ZSt24__throw_out_of_range_fmt.*",
    r"_ZSt7nothrow|_ZTV.*__cxxabiv1.*|_ZTVN10__cxxabiv1.*",
    r"_ZNSt(9exception|12bad_\w+)?D[012]Ev|_ZSt19__throw_\w+",
    r"__(asan|ubsan|tsan|sanitizer|sancov|lsan)_.*|__(start|stop)_(asan|__sancov)_\w+",
    r"_ZN6wgring.*|_ZNK6wgring.*|_Z[A-Z]*N?K?6wgring.*",
)
# What one room needs of a library, with the reason beside it.
ROOM = {
    "base": (),
    "crypto": (
        r"EVP_AEAD_CTX_\w+|EVP_aead_chacha20_poly1305",  # ChaCha20-Poly1305 of BoringSSL
        r"X25519|X25519_public_from_private",  # BoringSSL
        r"CRYPTO_library_init|OPENSSL_cleanse",
        r"blake2s_(init|init_key|init_param|update|final)|blake2s",  # libb2
        r"sodium_(init|memzero|memcmp|is_zero)",  # wiping, comparing in constant time
        r"crypto_aead_\w+|crypto_shorthash\w*|crypto_verify_\w+",  # second AEAD, XChaCha, SipHash
        r"imb_(get_(errno|feature_flags|mb_mgr_size)|set_pointers_mb_mgr)",  # AEAD: intel-ipsec-mb
        r"init_mb_mgr_auto",  # the same; its packets go through pointers in the manager
        r"__cxa_guard_(acquire|release)",  # the self-test's static storage, at start-up only
        r"randombytes_buf|randombytes_set_implementation",  # stops the process when it cannot
    ),
    "noise": (),
}
# A symbol that is allowed in one object only: (room, object, symbol): why.
EXEMPT = {
    ("base", "assert.cpp.o", "fprintf"): "assert_failed says where, then aborts",
    ("base", "assert.cpp.o", "__fprintf_chk"): "the same, fortified",
    ("base", "assert.cpp.o", "stderr"): "the same",
}
# Only for the message: why the well-known ones are refused and what to use instead.
REFUSED = (
    (r"clock_.*|time|gettimeofday|_ZNSt6chrono.*", "a clock: take Now from the caller"),
    (r"socket|send\w*|recv\w*|bind|connect|ioctl|poll|epoll.*", "a socket: use the Outbox"),
    (r"read|write|readv|writev|open\w*|close|fopen.*", "a file: use the Outbox"),
    (r"getrandom|getentropy|s?rand\w*|_ZNSt13random_device.*", "entropy: it is injected"),
    (r"malloc|calloc|realloc|free|posix_memalign|aligned_alloc|_Zn[wa].*|_Zd[la].*|mmap|munmap",
     "heap memory: use base/slab, slot_pool or fixed_vector"),
    (r"_ZNSt7__cxx1112basic_string.*", "std::string allocates: use std::string_view"),
    (r"pthread_.*|_ZNSt6thread.*", "a thread or lock: owned by the shard, right of noise/"),
    (r".*printf.*|puts|putchar|fwrite|_ZNSo.*", "printing: return a Result or count a Drop"),
)


def undefined(archive, nm):
    """{(object, symbol)} that the archive itself does not define."""
    listing = subprocess.run([nm, "--format=posix", "--print-file-name", str(archive)],
                             capture_output=True, text=True, check=True).stdout
    needed, defined = set(), collections.Counter()
    for line in listing.splitlines():
        match = re.match(r".*\[(.+?)\]: (\S+) (\S)", line)
        if not match:
            continue
        member, symbol, letter = match.groups()
        if letter in "Uw":
            needed.add((member, symbol))
        else:
            defined[symbol] += 1
    if not defined:
        sys.exit(f"{archive}: nm found no symbol: is it built?")
    return {one for one in needed if one[1] not in defined}


def why_refused(symbol):
    for pattern, why in REFUSED:
        if re.fullmatch(pattern, symbol):
            return why
    return "not among what tests/tidy/symbols.py allows this room"


def faults_of(room, archive, nm):
    allowed = re.compile("|".join(f"(?:{one})" for one in RUNTIME + ROOM[room]))
    return [
        (f"{room}/{member}", 0, f"{symbol}: {why_refused(symbol)}")
        for member, symbol in sorted(undefined(archive, nm))
        if not allowed.fullmatch(symbol) and (room, member, symbol) not in EXEMPT
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nm", default="nm")
    parser.add_argument("archives", nargs="+", type=pathlib.Path, help="libwgring_ROOM.a")
    options = parser.parse_args()
    faults = []
    for archive in options.archives:
        room = archive.stem.removeprefix("libwgring_")
        faults += faults_of(room, archive, options.nm)
    return source.report(faults)


if __name__ == "__main__":
    sys.exit(main())
