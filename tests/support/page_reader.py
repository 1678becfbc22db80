"""A page as a test reads it: tags, ids, texts and references."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link"}
# What would make a browser fetch something.
FETCHING = ("src", "href", "srcset", "data", "action", "poster", "xlink:href", "formaction", "background")


class PageReader(HTMLParser):
    """Reads one page; `errors` are tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.references: list[str] = []
        self.texts: list[str] = []
        self.errors: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.errors += self._open

    @property
    def text(self) -> str:
        """All visible text."""
        return " ".join(" ".join(self.texts).split())

    def find(self, tag: str, name: str = "") -> list[dict[str, str | None]]:
        """Attributes of all elements of a tag, with a class where one is asked for."""
        return [found for kind, found in self.tags if kind == tag and (not name or name in _classes(found))]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if attributes.get("id"):
            self.ids.append(str(attributes["id"]))
        self.references += [str(attributes[name]) for name in FETCHING if name in attributes]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.errors.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.texts.append(data)


def _classes(attributes: dict[str, str | None]) -> list[str]:
    return (attributes.get("class") or "").split()


def check_self_contained(page: str, scripts: int = 1) -> PageReader:
    """The page, after a look at what every page must be: well formed, without a network, no script but ours."""
    reader = PageReader(page)
    assert reader.errors == []
    assert all(text.startswith(("#", "data:image/png;base64,")) for text in reader.references)
    targets = {text[1:] for text in reader.references if text.startswith("#")}
    assert targets <= set(reader.ids) and len(reader.ids) == len(set(reader.ids))
    assert "url(" not in page and "@import" not in page
    assert len(reader.find("script")) == scripts and not any(
        name.startswith("on") for _, attributes in reader.tags for name in attributes
    )
    (policy,) = (a["content"] for a in reader.find("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy and "unsafe-eval" not in policy
    for svg in reader.find("svg"):
        assert svg.get("aria-hidden") == "true" or (svg["role"] == "img" and svg["aria-label"])
    return reader
