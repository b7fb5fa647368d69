"""The page's style sheet: light and dark, wide and narrow. Colours of bands are the plan's, all others are here."""

from __future__ import annotations

from typing import Final

LIGHT: Final = (
    "--bg:#fdfdfc;--ink:#1c2024;--soft:#5b636b;--line:#d9dde1;--grid:#e6e9ec;--card:#f4f5f6;--good:#1a7f37;"
    "--bad:#c1121f;--odd:#9a6700;--mark:#fff3bf;--goodbg:#dafbe1;--badbg:#ffe3e3;--oddbg:#fff8c5;--on:#fff"
)
DARK: Final = (
    "--bg:#15181b;--ink:#e4e7ea;--soft:#9aa3ab;--line:#363c42;--grid:#2a2f34;--card:#1e2226;--good:#56d364;"
    "--bad:#ff7b72;--odd:#e3b341;--mark:#4a3f10;--goodbg:#12341c;--badbg:#4a1719;--oddbg:#3c310c;--on:#fff"
)
# Hues of middle lightness, the first ten apart for most eyes, on white and on black.
INKS: Final = (
    "#0f7fc4", "#d9730d", "#2f9e57", "#b04fb8", "#8a7a12", "#d6456f", "#1b9a9a", "#7a6ff0", "#a0632f", "#6b7785",
    "#94a820", "#4fb3d9", "#e58fb1", "#c03a2b",
)  # fmt: skip
TERMS: Final = ("#2d6fb5", "#a8570f", "#2b8050", "#8a4394", "#7a6a10", "#b03a5b")

RULES: Final = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1200px;padding:12px 16px 48px;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5em;margin:.4em 0 .2em}h2{font-size:1.15em;margin:1.8em 0 .5em;border-bottom:1px solid var(--line)}
h3{font-size:1em;margin:1em 0 .3em}p{margin:.4em 0}a{color:inherit}
code{font:.88em ui-monospace,"DejaVu Sans Mono",monospace}
nav a{margin-right:1em;color:var(--soft)}
.verdict{display:inline-block;padding:0 .55em;border-radius:1em;border:1px solid;white-space:nowrap}
.held{color:var(--good);background:var(--goodbg)}.violated{color:var(--bad);background:var(--badbg)}
.unknown,.not-judged{color:var(--odd);background:var(--oddbg)}.skipped{color:var(--soft);background:var(--card)}
h1 .verdict{font-size:.8em;vertical-align:.1em}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;margin:.6em 0}dt{color:var(--soft)}dd{margin:0}
.cut{border-left:4px solid var(--odd);background:var(--oddbg);padding:.3em .8em;margin:.8em 0}
.cut ul{margin:.2em 0;padding-left:1.2em}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.88em;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th{text-align:left;color:var(--soft);font-weight:600;vertical-align:bottom}
th,td{padding:.25em .6em;border-bottom:1px solid var(--line)}td{vertical-align:top}
.numbers td+td,.numbers th+th{text-align:right;white-space:nowrap}
.verdicts td:last-child{width:99%;overflow-wrap:anywhere}
td ul{margin:.3em 0;padding-left:1.2em}details{margin:.2em 0;color:var(--soft)}summary{cursor:pointer}
.faults td,.calls td{white-space:nowrap}.faults td:nth-child(7){white-space:normal;min-width:14em}
tr.named td{background:var(--mark)}tr.named td:first-child{white-space:nowrap;font-weight:700}
.whole{white-space:nowrap}.bad{color:var(--bad)}.note{color:var(--soft);font-size:.85em}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;vertical-align:-.05em}
.scroll{overflow-x:auto}.charts{min-width:900px}
figure{margin:0 0 1.1em}figcaption{font-size:.88em;position:sticky;left:0;
width:fit-content;max-width:calc(100vw - 34px)}
figcaption small{display:block;color:var(--soft)}
.key{display:inline-block;margin-left:.9em;white-space:nowrap;color:var(--soft)}
.key svg{width:22px;height:12px;display:inline-block;vertical-align:-1px;margin-right:.3em}
svg{display:block;width:100%;height:auto}
svg text{font:11.5px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink)}
svg text.y{text-anchor:end;fill:var(--soft)}svg text.x{text-anchor:middle;fill:var(--soft)}
svg text.x.end{text-anchor:end}svg text.no{fill:var(--soft);font-size:10px}
svg text.on{fill:#fff;font-size:10.5px}svg text.letter{font-weight:700;fill:var(--bad);font-size:12px}
.grid{stroke:var(--grid)}.base{stroke:var(--soft)}.election{stroke:var(--ink);stroke-dasharray:2 2}
.band{fill-opacity:.13;stroke-opacity:.35;stroke-width:.7}.fault{fill-opacity:.35;stroke-width:1}
path.ok{stroke-width:4.2;stroke-linecap:round;fill:none;opacity:.75}
path.fail{stroke-width:1.6;fill:none}path.refused{stroke-width:1.2;fill:none;opacity:.75}
path.info{stroke-width:1.5;fill:var(--bg)}
.hit{fill:transparent}.hit:hover{stroke:var(--ink)}
.key path.ok,.key path.refused,.key path.fail,.key path.info{stroke:var(--ink)}
.q0{stroke:#2f9e57;stroke-width:2}.q1{stroke:#0f7fc4;stroke-width:1.7;stroke-dasharray:7 3}
.q2{stroke:#d9730d;stroke-width:1.7;stroke-dasharray:2 3}.q3{stroke:var(--bad);stroke-width:1.3}
.q0,.q1,.q2,.q3,.node,.rate{stroke-linecap:round;stroke-linejoin:round}
.rate{stroke-width:1.8}.r-ok{stroke:#2f9e57}
.r-refused{stroke:#0f7fc4;stroke-dasharray:9 3 2 3}.r-fail{stroke:#d9730d;stroke-dasharray:7 3}
.r-info{stroke:var(--bad);stroke-dasharray:2 3.5}
.node{stroke-width:1.8}
.leader{opacity:1}.candidate{opacity:.6}.follower{opacity:.55}.recovering{fill:var(--soft)!important;opacity:.5}
.s-ready{fill:#2f9e57}.s-not-ready{fill:#d9a514}.s-sealed{fill:#7a6ff0}.s-paused{fill:#b04fb8}
.s-no-answer{fill:var(--bad)}
.call{stroke-width:1.2;fill-opacity:.35}.c-fail,.c-refused{fill-opacity:.08}
.c-info{fill-opacity:.1;stroke-dasharray:4 3}
.call.named{stroke-width:2.4;stroke:var(--bad)}
@media(max-width:700px){body{padding:8px 10px 40px}
.verdicts thead{display:none}.verdicts tr{display:block;border-bottom:1px solid var(--line);padding:.4em 0}
.verdicts td{display:inline-block;border:0;padding:.1em .3em}.verdicts td:last-child{display:block;width:auto}}
@media print{.charts{min-width:0}details{display:none}}
"""


def sheet() -> str:
    """All of it."""
    inks = "".join(
        f"path.i{at}{{stroke:{ink}}}rect.i{at}{{fill:{ink};stroke:{ink}}}rect.f.i{at}{{stroke:none}}"
        for at, ink in enumerate(INKS)
    )
    terms = "".join(f"rect.t{at}{{fill:{ink}}}" for at, ink in enumerate(TERMS))
    return (
        f":root{{color-scheme:light dark;{LIGHT}}}@media(prefers-color-scheme:dark){{:root{{{DARK}}}}}"
        f"{RULES.strip()}{inks}{terms}.call.named{{stroke:var(--bad)!important}}"
    ).replace("\n", "")
