"""SVG elements as strings. Colours come from the classes in drawings.css, never from here."""

from html import escape


def element(tag: str, content: str = "", /, **attributes: str | float | None) -> str:
    """`class_` and `text_anchor` become class and text-anchor; None leaves an attribute out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def drawing(width: float, height: float, label: str, *parts: str) -> str:
    """A whole picture: it shrinks with its column and tells screen readers what it shows."""
    return element(
        "svg",
        element("title", escape(label)) + "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
        role="img",
        class_="drawing",
    )


def group(*parts: str, tooltip: str | None = None, class_: str | None = None) -> str:
    title = element("title", escape(tooltip)) if tooltip else ""
    return element("g", title + "".join(parts), class_=class_)


def rectangle(
    x: float,
    y: float,
    width: float,
    height: float,
    class_: str,
    *,
    radius: float = 0,
    opacity: float | None = None,
) -> str:
    return element(
        "rect",
        x=x,
        y=y,
        width=width,
        height=height,
        rx=radius or None,
        class_=class_,
        fill_opacity=opacity,
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def circle(x: float, y: float, radius: float, class_: str) -> str:
    return element("circle", cx=x, cy=y, r=radius, class_=class_)


def text(x: float, y: float, content: str, class_: str = "label", anchor: str = "start") -> str:
    return element(
        "text",
        escape(content),
        x=x,
        y=y,
        class_=class_,
        text_anchor=None if anchor == "start" else anchor,
    )


def polyline(points: list[tuple[float, float]], class_: str) -> str:
    return element("path", d="M" + _joined(points), class_=class_)


def area(points: list[tuple[float, float]], baseline: float, class_: str) -> str:
    """The surface between a curve and a horizontal baseline."""
    closed = [(points[0][0], baseline), *points, (points[-1][0], baseline)]
    return element("path", d="M" + _joined(closed) + "Z", class_=class_)


def _joined(points: list[tuple[float, float]]) -> str:
    return "L".join(f"{_value(x)} {_value(y)}" for x, y in points)


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{round(value, 2):g}"
