"""The pictures in docs/ are what their script makes: of commands that succeeded on a broker, and harmless."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from documentation import ROOT, TEXTS

from docs.terminal_picture import PICTURES


def test_each_picture_is_made_by_the_script_and_shown_on_a_page() -> None:
    assert {path.stem for path in (ROOT / "docs").glob("*.svg")} == set(PICTURES)
    assert all(re.search(rf"!\[[^]]+\]\((docs/)?{name}\.svg\)", "\n".join(TEXTS.values())) for name in PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_well_formed_and_can_do_nothing(name: str) -> None:
    picture = ElementTree.parse(ROOT / f"docs/{name}.svg").getroot()

    elements = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in picture.iter()}
    assert elements == {"svg", "title", "style", "rect", "path", "text"}
    attributes = {name.lower() for element in picture.iter() for name in element.attrib}
    assert not {name for name in attributes if name.startswith("on") or name.endswith("href")}
    style = "".join(element.text or "" for element in picture.iter() if element.tag.endswith("style"))
    assert "url(" not in style
    assert "@import" not in style


#: What shows that the run of a picture succeeded, on a real broker.
SHOWN = {
    "dispatch": ("every task confirmed by the broker", "Dispatch completed successfully!"),
    "doctor": ("RabbitMQ answers at", "Celery knows each of the"),
    "sweep": ("SCALING CURVE", "Sweep passed: every check held"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_of_a_run_on_a_broker_that_succeeded_and_holds_no_password(name: str) -> None:
    picture = ElementTree.parse(ROOT / f"docs/{name}.svg").getroot()
    text = "\n".join(element.text or "" for element in picture.iter() if element.tag.endswith("text"))

    assert text.startswith(f"python {' '.join(PICTURES[name])}\n")
    assert all(words in text for words in SHOWN[name])
    urls = re.findall(r"amqps?://\S+", text)
    assert urls
    assert all(re.match(r"amqps?://[^:@\s]+@", url) for url in urls)
    assert not re.search(r"^\[x\]|^FAIL", text, re.MULTILINE)
