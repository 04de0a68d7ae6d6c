"""How the HTML report looks: one style sheet, light and dark, on a screen, a phone and paper."""

from __future__ import annotations

from collections.abc import Mapping

#: Colours by role. A test holds the contrast of each to what it stands on.
LIGHT: Mapping[str, str] = {
    "page": "#ffffff",
    "panel": "#f5f6f8",
    "line": "#d9dde3",
    "ink": "#191c21",
    "quiet": "#565e6a",
    "good": "#14713a",
    "good-panel": "#e7f5ec",
    "warn": "#855300",
    "warn-panel": "#fdf3dc",
    "bad": "#b3201f",
    "bad-panel": "#fdecea",
    "run": "#3557b7",
    "wait": "#7b93d3",
}
DARK: Mapping[str, str] = {
    "page": "#101317",
    "panel": "#191d23",
    "line": "#333a44",
    "ink": "#e7eaee",
    "quiet": "#a0a9b5",
    "good": "#5ccb86",
    "good-panel": "#12291c",
    "warn": "#e6b04e",
    "warn-panel": "#2d2310",
    "bad": "#ff8a80",
    "bad-panel": "#351716",
    "run": "#86a3ff",
    "wait": "#4e68b5",
}


def _variables(colors: Mapping[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in colors.items())


_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
 font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 24px 56px}
h1,h2,h3,p,dl,dd,figure,table,ul{margin:0;padding:0}
h1,.name{font-size:30px;line-height:1.2;font-weight:650;letter-spacing:-.015em;overflow-wrap:anywhere}
.part>h2,.part>h3{font-size:17px;font-weight:650;letter-spacing:-.005em;margin-bottom:12px}
.part{margin-top:44px}
.quiet,.part>p,caption{color:var(--quiet)}
.part>p{margin:-6px 0 12px;max-width:76ch}
.part>*+p{margin:10px 0 0}
code,.id{font:.87em/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
td code,.id{white-space:nowrap}.words code,.checks code{white-space:normal}
a{color:inherit;text-underline-offset:2px}
:focus-visible{outline:2px solid var(--run);outline-offset:2px}
.verdict{display:inline-block;margin-bottom:14px;padding:3px 12px 4px;border-radius:99px;font-weight:650;
 border:1px solid currentColor}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.verdict.good{background:var(--good-panel)}.verdict.warn{background:var(--warn-panel)}
.verdict.bad{background:var(--bad-panel)}
.about{margin-top:6px;font-size:17px;max-width:76ch}
.sentence{margin-top:2px;font-size:17px;font-weight:600}
.banner{margin-top:16px;padding:10px 14px;border-left:3px solid var(--warn);background:var(--warn-panel)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;margin-top:24px;
 background:var(--line);border:1px solid var(--line);border-radius:8px;overflow:hidden}
.tiles>div{background:var(--page);padding:12px 16px 13px}
.tiles dt,.facts dt{color:var(--quiet);font-size:13px}
.tiles dd{font-size:22px;line-height:1.3;font-weight:600;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.tiles dd small{display:block;font-size:13px;line-height:1.4;font-weight:400;letter-spacing:0;color:var(--quiet)}
.facts{display:flex;flex-wrap:wrap;gap:6px 28px;margin-top:16px}
.facts dd{overflow-wrap:anywhere}
.scroll{overflow-x:auto}.scroll+.scroll,.bars+.scroll{margin-top:28px}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
caption{text-align:left;padding-bottom:6px}
th{font-size:13px;font-weight:600;color:var(--quiet);text-align:left;white-space:nowrap}
th,td{padding:7px 16px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}
.words{min-width:16em;overflow-wrap:anywhere}
.mark{white-space:nowrap;font-weight:650;font-size:13px;line-height:23px;width:1%}
.checks td,.checks th{overflow-wrap:anywhere}
.checks tbody th{width:33%;font-size:15px;font-weight:500;color:var(--ink);white-space:normal}
.sum{display:flex;flex-wrap:wrap;gap:2px 8px;margin-bottom:10px;font-size:17px;font-variant-numeric:tabular-nums}
.sum svg{display:inline-block;width:12px;height:12px;margin-right:6px}
svg{display:block;width:100%;overflow:visible}
svg text{font-size:12px;fill:var(--quiet);font-family:inherit}
.defs{position:absolute;width:0;height:0}
.g{stroke:var(--line)}
.r{fill:var(--run)}.w{fill:var(--wait)}.t{fill:url(#tried);stroke:var(--run)}
.f{fill:url(#hatch);stroke:var(--bad)}.o{fill:none;stroke:var(--bad);stroke-dasharray:3 3}
.k{stroke:var(--wait);stroke-width:2;stroke-dasharray:2 3}
.v{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:4 3}.z{fill:var(--bad);fill-opacity:.1}
.m{stroke:var(--ink);stroke-dasharray:3 2}
.c{fill:none;stroke:var(--run);stroke-width:2;vector-effect:non-scaling-stroke}
.c2{stroke:var(--good);stroke-dasharray:7 3}.c3{stroke:var(--warn);stroke-dasharray:2 3}.c4{stroke:var(--bad)}
.a{fill:var(--wait);fill-opacity:.25;stroke:none}.b{fill:var(--panel)}
svg .x{fill:var(--bad);font-weight:700;font-size:11px}
svg .l{fill:var(--ink)}
.s-good{fill:var(--good);stroke:var(--page)}.s-warn{fill:var(--warn);stroke:var(--page)}
.s-bad{fill:var(--bad);stroke:var(--page)}.s-failed{fill:url(#hatch);stroke:var(--bad)}
.stripe{stroke:var(--bad);stroke-width:2.5}.dash{stroke:var(--run);stroke-width:2}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;margin-bottom:14px;color:var(--quiet);font-size:13px}
.legend svg{display:inline-block;width:26px;height:12px;margin-right:7px;vertical-align:-1px}
.lane{margin-top:14px}
.lane p{margin-bottom:5px;overflow-wrap:anywhere}.lane b{font-weight:600}.lane span{color:var(--quiet)}
.chart+*{margin-top:28px}
.bars{display:grid;grid-template-columns:repeat(auto-fit,minmax(270px,1fr));gap:28px 32px}
figcaption{margin-bottom:8px}figcaption b{display:block;font-weight:600}figcaption span{color:var(--quiet)}
.ends{display:flex;justify-content:space-between;padding-top:4px;font-size:12px;color:var(--quiet);
 font-variant-numeric:tabular-nums}
details{margin-top:14px}summary{cursor:pointer;font-weight:600;padding:2px 0 6px}
ul{padding-left:20px}li{margin:4px 0;overflow-wrap:anywhere}
article+article,.index+article{margin-top:64px;padding-top:40px;border-top:3px solid var(--line)}
.index{margin-top:24px}
footer{margin-top:56px;padding-top:14px;border-top:1px solid var(--line);color:var(--quiet);font-size:13px;
 overflow-wrap:anywhere}
@media (max-width:600px){
 main{padding:24px 16px 40px}h1,.name{font-size:25px}.part{margin-top:36px}
 .checks thead{position:absolute;clip-path:inset(50%)}
 .checks tr{display:grid;grid-template-columns:max-content 1fr;border-bottom:1px solid var(--line);padding:7px 0}
 .checks tbody :is(td,th){border:0;padding:0;width:auto}.checks .mark{width:5.6em}
 .checks td:last-child{grid-column:2;color:var(--quiet)}
 .tiles{grid-template-columns:1fr 1fr}.tiles>div{padding:10px 12px}.tiles dd{font-size:19px}
}
@media print{
 main{max-width:none;padding:0}body{font-size:11px}
 .part,.lane,figure,tr{break-inside:avoid}.scroll{overflow:visible}
 *{-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
"""

#: The whole style sheet. Paper is light.
STYLE_SHEET = (
    f":root{{color-scheme:light dark;{_variables(LIGHT)}}}\n"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    f"{_RULES}"
)
