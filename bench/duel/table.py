"""The end of a run as plain text."""

from duel.summary import FIGURES, LESS, UNDER_LOAD, failures_of

AGAINST = {"go": "wireguard-go", "rust": "best of boringtun, gotatun"}


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def times(value):
    """A ratio with as many digits as it deserves."""
    if value is None:
        return "-"
    return f"{value:.0f}x" if value >= 100 else f"{value:.1f}x" if value >= 10 else f"{value:.2f}x"


def columns(rows):
    """Rows of equal length as aligned text: the first column to the left, others to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(word.ljust(width) if at == 0 else word.rjust(width)
                      for at, (word, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]


def titles(document):
    return {**{trial["name"]: trial["title"] for trial in document["trials"]},
            UNDER_LOAD[0]: UNDER_LOAD[1]}


def shown_figures(by_figure):
    """Figures of a trial in the order in which they are worth reading."""
    return [name for name in FIGURES if name in by_figure]


def trial_lines(title, by_figure, order):
    yield f"\n{title}"
    rows = [("", "median", "min", "max", "go", "rust")]
    for figure in shown_figures(by_figure):
        name, unit, _, digits = FIGURES[figure]
        rows.append((f"  {name}, {unit}".rstrip(", "), "", "", "", "", ""))
        for contestant in order:
            found = by_figure[figure].get(contestant)
            if found:
                rows.append((f"    {contestant}", *[number(found[key], digits) for key in
                                                    ("median", "min", "max")],
                             times(found["against_go"]), times(found["against_rust"])))
    yield from columns(rows)


def wanted(line):
    sign = "<=" if line["better"] == LESS else ">="
    stretch = f" ({line['stretch']:g}x)" if line["stretch"] is not None else ""
    return f"{sign} {line['must']:g}x{stretch}"


def target_lines(document):
    if not document["targets"]:
        return
    yield "\nTargets (ratios of medians; in brackets the stretch)"
    rows = [("figure", "contestant", "against", "wanted", "ratio", "verdict")]
    rows += [(f"  {line['title']}", line["contestant"], AGAINST[line["against"]], wanted(line),
              times(line["ratio"]), line["verdict"]) for line in document["targets"]]
    yield from columns(rows)


def failure_lines(document):
    for name, reason in document["not_run"].items():
        yield f"\nNOT RUN {name}: {reason}"
    for sample in failures_of(document):
        yield (f"\nFAILED {sample['contestant']} in {sample['trial']}, round {sample['round']}:\n"
               + "\n".join(f"    {line}" for line in sample["failure"].splitlines()))


def machine_lines(document):
    about, settings = document["machine"], document["settings"]
    yield (f"{about['cpu']}, {about['cores']} cores ({' '.join(about['flags'])}), "
           f"{about['memory_gb']} GB, Linux {about['kernel']}, {about['system']}")
    yield (f"commit {about['commit']}, {document['started']}, {settings['rounds']} rounds, "
           f"{settings['seconds']} s a trial, {document['seconds'] / 60:.1f} min in all")
    stolen = sum(sample.get("stolen_s", 0) for sample in document["samples"])
    yield f"load before {about['load_before']}, {stolen:.1f} CPU s taken by a hypervisor meanwhile"
    for one in document["contestants"]:
        yield f"  {one['name']} {one['version']}".rstrip()


def lines(document):
    """The whole text of a completed document."""
    order = [one["name"] for one in document["contestants"]]
    yield from machine_lines(document)
    for name, title in titles(document).items():
        if name in document["figures"]:
            yield from trial_lines(title, document["figures"][name], order)
    yield from failure_lines(document)
    yield from target_lines(document)
