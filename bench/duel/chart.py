"""One figure as an inline SVG: a bar for each contestant, with the spread of its samples.

Text and bars are measured in units of a card about 360 wide and grow with it, so a phone shows
the same picture. Colours come from the page's style sheet, for light and dark alike.
"""

from html import escape

from duel.table import number, times

WIDTH, ROW, BAR_AT, BAR = 360, 40, 21, 11
# A ceiling far above all tunnels would leave nothing to see of these: it is cut, and says so.
CEILING_TIMES_MAX, HEADROOM = 2.0, 1.15
EMPTY_SCALE = 1.0


def scale_of(found, kinds):
    """The value at the right edge."""
    tunnels = [one["max"] for name, one in found.items() if kinds[name] != "ceiling"]
    highest = max((one["max"] for one in found.values()), default=0)
    if tunnels and 0 < CEILING_TIMES_MAX * max(tunnels) < highest:
        highest = HEADROOM * max(tunnels)
    return highest or EMPTY_SCALE


def at(value, scale):
    return round(min(1.0, value / scale) * WIDTH, 1)


def spread(one, scale, y):
    """A line from the lowest to the highest sample, when there is more than one."""
    left, right = at(one["min"], scale), at(one["max"], scale)
    if one["samples"] < 2 or one["min"] >= scale:
        return ""
    middle = y + BAR_AT + BAR / 2
    ends = "".join(f"M{x} {middle - 4}v8" for x in (left, right))
    return f'<path class="spread" d="M{left} {middle}H{right}{ends}"/>'


def cut_mark(one, scale, y):
    if one["median"] <= scale:
        return ""
    x, top = WIDTH - 26, y + BAR_AT - 1
    return f'<path class="cut" d="M{x} {top + BAR + 2}l6 -{BAR + 2}m6 0l-6 {BAR + 2}"/>'


def row(name, one, y, scale, colour, unit, digits, base):
    value = f"{number(one['median'], digits)} {unit}".strip()
    ratio = times(one["median"] / base) if base else ""
    told = (f"{name}: median {value}, {number(one['min'], digits)} to "
            f"{number(one['max'], digits)} in {one['samples']} rounds")
    width = max(1.5, at(one["median"], scale)) if one["median"] else 0
    return (f'<g class="row {colour}" data-name="{escape(name)}" data-median="{one["median"]}" '
            f'data-told="{escape(told)}" tabindex="0"><title>{escape(told)}</title>'
            f'<rect class="hit" x="0" y="{y}" width="{WIDTH}" height="{ROW - 2}"/>'
            f'<text class="name" x="0" y="{y + 15}">{escape(name)}</text>'
            f'<text class="value" x="{WIDTH - 54}" y="{y + 15}">{escape(value)}</text>'
            f'<text class="ratio" x="{WIDTH}" y="{y + 15}">{ratio}</text>'
            f'<rect class="track" x="0" y="{y + BAR_AT}" width="{WIDTH}" height="{BAR}" rx="3"/>'
            f'<rect class="bar" x="0" y="{y + BAR_AT}" width="{width}" height="{BAR}" rx="3"/>'
            f'{cut_mark(one, scale, y)}{spread(one, scale, y)}</g>')


def failed_row(name, y, colour):
    return (f'<g class="row failed {colour}"><text class="name" x="0" y="{y + 15}">'
            f'{escape(name)}</text><text class="value" x="{WIDTH}" y="{y + 15}">failed</text>'
            f'<rect class="track" x="0" y="{y + BAR_AT}" width="{WIDTH}" height="{BAR}" rx="3"/>'
            '</g>')


def svg(label, found, failed, style, unit, digits, base_name):
    """`style` is {contestant: (kind, colour class)} in the order of the bars."""
    scale = scale_of(found, {name: kind for name, (kind, _) in style.items()})
    base = found.get(base_name, {}).get("median")
    parts, y = [], 0
    for name, (_, colour) in style.items():
        if name in found:
            parts.append(row(name, found[name], y, scale, colour, unit, digits, base))
        elif name in failed:
            parts.append(failed_row(name, y, colour))
        else:
            continue
        y += ROW
    return (f'<svg viewBox="0 0 {WIDTH} {max(y, ROW)}" role="img" aria-label="{escape(label)}">'
            + "".join(parts) + "</svg>")
