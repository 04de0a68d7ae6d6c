"""How text is dressed: escape sequences for colour, and the signs that a terminal can show."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Columns of the rules that divide the rich output.
WIDTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Colours (empty: none) and signs. Colour never carries meaning alone: a word always says it too."""

    good: str = ""
    bad: str = ""
    warn: str = ""
    strong: str = ""
    faint: str = ""
    reset: str = ""
    launch: str = "🚀"
    ok: str = "✅"
    failed: str = "❌"
    aim: str = "🎯"
    chart: str = "📊"
    page: str = "📄"
    cheers: str = "🎉"
    bullet: str = "•"
    thin: str = "─"
    bar_done: str = "█"
    bar_left: str = "░"

    @property
    def signs(self) -> str:
        """Every sign in one string, to try whether a stream can encode them."""
        return "".join(
            (
                *(self.launch, self.ok, self.failed, self.aim, self.chart, self.page, self.cheers),
                *(self.bullet, self.thin, self.bar_done, self.bar_left),
            )
        )

    @property
    def thick_rule(self) -> str:
        return self.tint(self.faint, "=" * WIDTH)

    @property
    def thin_rule(self) -> str:
        return self.tint(self.faint, self.thin * WIDTH)

    def tint(self, color: str, text: str) -> str:
        """Return `text` in one of this style's colours."""
        return f"{color}{text}{self.reset}" if color else text


#: No colour, all signs: what a pipe gets.
PLAIN = Style()
#: No colour, and nothing outside ASCII.
ASCII = Style(
    launch="[*]",
    ok="[ok]",
    failed="[x]",
    aim="[*]",
    chart="[*]",
    page="[*]",
    cheers="[ok]",
    bullet="*",
    thin="-",
    bar_done="#",
    bar_left=".",
)


def style_for(*, color: bool, signs: bool) -> Style:
    """Return the style of a stream that shows colour and signs, or does not."""
    style = PLAIN if signs else ASCII
    if not color:
        return style
    return replace(
        style,
        good="\x1b[32m",
        bad="\x1b[31m",
        warn="\x1b[33m",
        strong="\x1b[1m",
        faint="\x1b[2m",
        reset="\x1b[0m",
    )
