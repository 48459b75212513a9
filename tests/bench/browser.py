"""Chromium without a screen: what a page becomes when it is opened, and how it looks."""

import html
import os
import pathlib
import shutil
import struct
import zlib

from lab.run import LabError, run

SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=2000")
SCHEMES = {"dark": 0, "light": 1}
# Errors are noted where the page itself cannot hide them: before any script of its own.
WATCH = ("<script>window.problems=[];addEventListener('error',e=>{problems.push(e.message);"
         "document.documentElement.dataset.problems=problems.join('; ')});</script>")


def chromium():
    program = shutil.which("chromium")
    if program is None:
        raise LabError("chromium is missing: apt install chromium")
    return program


def opened(path, directory, *options, scheme="light"):
    profile = pathlib.Path(directory) / f"profile-{len(os.listdir(directory))}"
    return run([chromium(), *SWITCHES, f"--user-data-dir={profile}",
                f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", *options,
                f"file://{path}"], timeout=60, env={"HOME": str(profile)})


def watched(page):
    """The page with the watch before everything else."""
    return page.replace("<head>", "<head>" + WATCH, 1)


def in_frame(page, width, script=""):
    """A page that shows another one as a screen of this width would."""
    return (f'<!doctype html><html><body style="margin:0"><iframe id="f" width="{width}" '
            f'height="4000" style="border:0" srcdoc="{html.escape(page)}"></iframe>'
            f"<script>f.onload=()=>{{const d=f.contentDocument;{script}}}</script></body></html>")


def dom(path, directory):
    """(the document after its scripts ran, what the browser had to say on its console)."""
    result = opened(path, directory, "--dump-dom")
    return result.out, [line for line in result.err.splitlines() if "CONSOLE" in line]


def screenshot(path, directory, target, width, height, scheme="light"):
    opened(path, directory, f"--screenshot={target}", f"--window-size={width},{height}",
           scheme=scheme)
    return pixels(pathlib.Path(target).read_bytes())


def chunks(png):
    at = 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at + 8:at + 8 + length]
        at += 12 + length


def unfiltered(data, stride, height, step):
    """PNG's five line filters undone."""
    above = bytearray(stride)
    for y in range(height):
        kind, line = data[y * (stride + 1)], bytearray(data[y * (stride + 1) + 1:][:stride])
        for x in range(stride) if kind else ():
            left = line[x - step] if x >= step else 0
            corner = above[x - step] if x >= step else 0
            line[x] = line[x] + predicted(kind, left, above[x], corner) & 255
        yield bytes(line)
        above = line


def predicted(kind, left, up, corner):
    if kind == 4:
        to_left, to_up = abs(up - corner), abs(left - corner)
        to_corner = abs(left + up - 2 * corner)
        return left if to_left <= to_up and to_left <= to_corner else (
            up if to_up <= to_corner else corner)
    return (0, left, up, (left + up) // 2)[kind]


def pixels(png):
    """Rows of (red, green, blue) of an 8-bit PNG without interlacing."""
    found = list(chunks(png))
    width, height, depth, colour = struct.unpack_from(">IIBB", dict(found)[b"IHDR"])
    if depth != 8 or colour not in (2, 6):
        raise LabError(f"a PNG of depth {depth} and colour type {colour} is not read here")
    step = 3 if colour == 2 else 4
    data = zlib.decompress(b"".join(body for kind, body in found if kind == b"IDAT"))
    return [[tuple(line[x * step:x * step + 3]) for x in range(width)]
            for line in unfiltered(data, width * step, height, step)]
