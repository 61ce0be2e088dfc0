"""Pages as a browser reads them: elements in order, whole, each with its attributes and its text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img", "hr"}


@dataclass
class Element:
    """One element: what it is called, its attributes, and what is in it."""

    tag: str
    attributes: dict[str, str]
    inside: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Everything that it says, on one line."""
        return " ".join("".join(self.said()).split())

    def said(self) -> Iterator[str]:
        for one in self.inside:
            yield from one.said() if isinstance(one, Element) else [one]
        yield " "

    def each(self, tag: str = "", **attributes: str) -> list[Element]:
        """Return the elements in it with a name and attributes, classes among others."""
        found = []
        for one in self.inside:
            if isinstance(one, Element):
                found += [one] if one.fits(tag, attributes) else []
                found += one.each(tag, **attributes)
        return found

    def one_row(self, name: str) -> Element:
        """Return the row of a table that is headed by a name."""
        return next(row for row in self.each("tr") if any(head.text == name for head in row.each("th", scope="row")))

    def fits(self, tag: str, attributes: dict[str, str]) -> bool:
        mine = {name: self.attributes.get(name, "") for name in attributes}
        wanted = all(value in mine[name].split() or value == mine[name] for name, value in attributes.items())
        return tag in ("", self.tag) and wanted


class Read(HTMLParser):
    """A page; one whose elements are not closed in their order is a defect."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.top = Element("", {})
        self.open = [self.top]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        one = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].inside.append(one)
        if tag not in VOID:
            self.open.append(one)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>: {self.open[-1].text[:200]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)

    @property
    def text(self) -> str:
        return self.top.text

    def each(self, tag: str = "", **attributes: str) -> list[Element]:
        return self.top.each(tag, **attributes)

    def one(self, tag: str = "", **attributes: str) -> Element:
        found = self.each(tag, **attributes)
        assert len(found) == 1, (tag, attributes, [one.text for one in found])
        return found[0]


def read(html: str) -> Read:
    """Return a page, whole."""
    page = Read()
    page.feed(html)
    page.close()
    assert page.open == [page.top], [one.tag for one in page.open]
    return page


def for_everybody(page: Read) -> None:
    """Hold a page against what people need who do not see it."""
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("head").each("title")[0].text
    assert len(page.each("main")) == len(page.each("h1")) == len(page.each("footer")) == 1
    names = [one.attributes["id"] for one in page.each() if "id" in one.attributes]
    assert len(names) == len(set(names)), names
    for table in page.each("table"):
        assert table.each("caption"), table.text[:80]
        heads = [head for head in table.each("th") if head.attributes.get("scope") not in ("col", "row")]
        assert not heads, heads[0]
    for picture in page.each("svg"):
        assert picture.attributes.get("aria-hidden") == "true" or picture.attributes["aria-label"], picture
    labels = {one.attributes.get("for") for one in page.each("label")}
    for entry in [*page.each("input"), *page.each("select")]:
        assert entry.attributes["id"] in labels
