"""A completed duel as one HTML page that needs nothing else: no network, no other file."""

import pathlib
from html import escape

from duel import chart, table
from duel.contestants import GO
from duel.summary import FIGURES, LESS, UNDER_LOAD, failures_of

HERE = pathlib.Path(__file__).parent
OURS_COLOURS, RUST_COLOURS, OTHER_COLOURS = 4, 2, 2

# heading, what one should know, trials (a * at the end takes all that begin so), figures drawn
SECTIONS = (
    ("Bulk", "One TCP connection and several, in both directions.", ("tcp-*",),
     ("gbps", "cpu_s_per_gb", "system_s_per_gb")),
    ("Single packets", "More UDP datagrams than anyone can carry: what arrives is counted.",
     ("udp-64", "udp-1300"), ("delivered_kpps", "cpu_us_per_packet", "system_us_per_packet")),
    ("A fixed rate", "What most should carry: how much is lost, and what it costs.",
     ("udp-64-fixed", "udp-1300-fixed"), ("loss_percent", "cpu_percent", "system_percent")),
    ("Latency", "Echo requests through a tunnel with nothing else in it, and beside a TCP stream.",
     ("ping", "ping-load"), ("average_us", "p99_us", "loss_percent")),
    ("Memory and rest", "The larger of the two daemons; wake-ups are those of one daemon.",
     (UNDER_LOAD[0], "idle"), ("rss_peak_mb", "wakeups_per_s", "cpu_ms_per_s")),
    ("Many peers", "One daemon, configured by wg setconf, link up, then left in peace.",
     ("peers-*",), ("setconf_s", "rss_growth_mb", "wakeups_per_s")),
)
DIRECTION = {LESS: "less is better", "more": "more is better"}


def styles(document):
    """{contestant: (kind, colour class)} in the order of the run."""
    counts, found = {}, {}
    for one in document["contestants"]:
        kind = one["kind"]
        number = counts.setdefault(kind, 0)
        counts[kind] += 1
        colours = {"ours": OURS_COLOURS, "rust": RUST_COLOURS, "other": OTHER_COLOURS}
        found[one["name"]] = kind, f"{kind}-{number % colours.get(kind, 1)}"
    return found


def matches(name, patterns):
    return any(name == pattern or pattern.endswith("*") and name.startswith(pattern[:-1])
               for pattern in patterns)


def card(document, style, trial, figure, base_name):
    title, unit, better, digits = FIGURES[figure]
    found = document["figures"][trial][figure]
    failed = {sample["contestant"] for sample in failures_of(document)
              if sample["trial"] == trial}
    heading = table.titles(document)[trial]
    drawing = chart.svg(f"{heading}: {title}", found, failed, style,
                        unit.partition(" ")[0], digits, base_name)
    return (f'<figure><figcaption><h3>{escape(heading)}</h3><p>{escape(title)}, {escape(unit)}'
            f'<span class="better">{DIRECTION[better]}</span></p></figcaption>{drawing}'
            '<p class="told" aria-live="polite"></p></figure>')


def anchor(heading):
    return heading.lower().replace(" ", "-")


def section(document, style, base_name, heading, text, trials, figures):
    names = [name for name in document["figures"] if matches(name, trials)]
    cards = [card(document, style, trial, figure, base_name) for figure in figures
             for trial in names if figure in document["figures"][trial]]
    if not cards:
        return ""
    return (f'<section id="{anchor(heading)}"><h2>{escape(heading)}</h2><p>{escape(text)}</p>'
            f'<div class="cards">{"".join(cards)}</div></section>')


def target_cell(line):
    word = line["verdict"]
    mark = {"missed": "✗", "not measured": "–"}.get(word, "✓")
    return (f'<td class="{word.replace(" ", "-")}"><b>{table.times(line["ratio"])}</b> '
            f'<span>{mark} {escape(word)}</span></td>')


def reached(lines, name):
    """How many of the targets that were measured one contestant reaches."""
    measured = [line["verdict"] for line in lines
                if line["contestant"] == name and line["ratio"] is not None]
    return f"{len(measured) - measured.count('missed')} of {len(measured)}"


def targets(document):
    """A line per target and opponent, a column per contestant of ours."""
    lines = document["targets"]
    if not lines:
        return ""
    names = list(dict.fromkeys(line["contestant"] for line in lines))
    rows = {}
    for line in lines:
        wanted = table.wanted(line).replace(">= ", "≥\u00a0").replace("<= ", "≤\u00a0")
        key = line["title"], table.AGAINST[line["against"]], wanted
        rows.setdefault(key, {})[line["contestant"]] = target_cell(line)
    body = "".join(f'<tr><th scope="row">{escape(title)}<small>against {escape(against)}, '
                   f'{escape(text)}</small></th>{"".join(cells.get(name, "") for name in names)}'
                   "</tr>" for (title, against, text), cells in rows.items())
    heads = "".join(f"<th>{escape(name)}<small>{reached(lines, name)}</small></th>"
                    for name in names)
    return ('<section id="targets"><h2>Targets</h2><p>Ratios of medians of this run; in brackets '
            'what we would like even more.</p><div class="wide"><table class="targets"><thead>'
            f"<tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div></section>")


def failures(document):
    items = [f"<li><b>{escape(name)}</b> did not take part<pre>{escape(reason)}</pre></li>"
             for name, reason in document["not_run"].items()]
    items += [f"<li><b>{escape(one['contestant'])}</b> in {escape(one['trial'])}, round "
              f"{one['round']}<pre>{escape(one['failure'])}</pre></li>"
              for one in failures_of(document)]
    if not items:
        return '<section id="failures"><h2>Failures</h2><p>None.</p></section>'
    return ('<section id="failures" class="failures"><h2>Failures</h2>'
            f'<ul>{"".join(items)}</ul></section>')


def everything(document):
    text = "\n".join(table.lines(document))
    return ("<section><h2>Everything</h2><details><summary>All figures as text</summary>"
            f"<pre>{escape(text)}</pre></details></section>")


def head(document, style, base_name):
    about, settings = document["machine"], document["settings"]
    options = "".join(f'<option{" selected" if name == base_name else ""}>{escape(name)}</option>'
                      for name in style)
    versions = "".join(
        f'<li class="{style[one["name"]][1]}"><i></i><b>{escape(one["name"])}</b> '
        f'{escape(one["version"])}</li>' for one in document["contestants"])
    rounds = f"{settings['rounds']} round{'s' if settings['rounds'] > 1 else ''}"
    return (
        f"<header><h1>wgring: the duel</h1><p>{escape(about['cpu'])}, {about['cores']} cores, "
        f"{about['memory_gb']} GB, Linux {escape(about['kernel'])}, {escape(about['system'])}. "
        f"{escape(document['started'])}, {rounds} of {settings['seconds']} s a trial, commit "
        f"{escape(about['commit'])}.</p><p>Both ends, the traffic and its receiver share this one "
        "machine, so ratios mean something and the numbers alone little. A bar is the median, "
        f'the line on it goes from the lowest to the highest round.</p><ul class="who">{versions}'
        f'</ul><label>Ratios against <select id="base">{options}</select></label></header>')


def navigation(sections):
    """Links to the sections that are there."""
    found = [heading for heading in ("Targets", *[one[0] for one in SECTIONS], "Failures")
             if f'<section id="{anchor(heading)}"' in sections]
    return "<nav>" + " ".join(f'<a href="#{anchor(heading)}">{escape(heading)}</a>'
                              for heading in found) + "</nav>"


def html(document):
    style = styles(document)
    base_name = GO if GO in style else next(iter(style), "")
    sections = targets(document) + "".join(
        section(document, style, base_name, *one) for one in SECTIONS) + failures(document)
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>wgring: the duel</title><style>{(HERE / 'page.css').read_text()}</style>"
            f"</head><body>{head(document, style, base_name)}{navigation(sections)}"
            f"<main>{sections}{everything(document)}</main>"
            f"<script>{(HERE / 'page.js').read_text()}</script></body></html>\n")
