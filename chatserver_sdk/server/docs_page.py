"""/docs: the OpenAPI document as one page of HTML, written here.

It loads nothing, from no network, and runs no script: a server behind a firewall has it too.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
pre{background:#f5f5f2;padding:.7rem;overflow-x:auto;font-size:.85rem;border-radius:4px}
details{border:1px solid #ddd;border-radius:4px;margin:.4rem 0;padding:.3rem .8rem}
summary{cursor:pointer}code{font-size:.9rem}table{border-collapse:collapse}
td{border-top:1px solid #ddd;padding:.2rem .8rem .2rem 0;vertical-align:top}
.m{display:inline-block;width:4.5rem;font-weight:700}.k{float:right;color:#777}
@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#ddd}pre{background:#2a2a2a}
details,td{border-color:#444}a{color:#8bf}}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'",
    "X-Content-Type-Options": "nosniff",
}


def page(document: Mapping[str, Any]) -> str:
    """The whole page."""
    title = f"{document['info']['title']} {document['info']['version']}"
    parts = [
        "<!DOCTYPE html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>",
        '<p>For programs: <a href="/openapi.json">/openapi.json</a>. Routes with a key take the'
        " header <code>Authorization: Bearer KEY</code>.</p>",
        *_operations(document),
        "<h2>Schemas</h2>",
        *_schemas(document),
    ]
    return "\n".join(parts)


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[tuple[str, str, Any]]] = {}
    for path, routes in document["paths"].items():
        for method, operation in routes.items():
            by_tag.setdefault(operation["tags"][-1], []).append((method, path, operation))
    for tag, listed in sorted(by_tag.items()):
        yield f"<h2>{escape(tag)}</h2>"
        for method, path, operation in listed:
            yield from _operation(method, path, operation)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    key = "<span class=k>with a key</span>" if "security" in operation else ""
    yield f'<details id="{escape(operation["operationId"])}"><summary>{key}'
    yield f"<span class=m>{method.upper()}</span><code>{escape(path)}</code></summary>"
    yield f"<p>{escape(operation['description'])}</p>"
    if operation.get("parameters"):
        yield "<table>"
        yield from (_parameter(each) for each in operation["parameters"])
        yield "</table>"
    if "requestBody" in operation:
        yield "<h4>Request</h4>"
        yield from _content(operation["requestBody"])
    for status, response in operation["responses"].items():
        is_refusal = int(status) >= 400
        yield f"<details{'' if is_refusal else ' open'}><summary><b>{status}</b>"
        yield f"{escape(response['description'])}</summary>"
        yield from _content(response)
        yield "</details>"
    yield "</details>"


def _parameter(each: Mapping[str, Any]) -> str:
    about = each.get("description", "")
    example = f" Such as <code>{escape(str(each['example']))}</code>." if "example" in each else ""
    need = ", required" if each.get("required") else ""
    place = f"{each['in']}{need}"
    name = f"<code>{escape(each['name'])}</code>"
    return f"<tr><td>{name}<td>{place}<td>{escape(about)}{example}</tr>"


def _content(holder: Mapping[str, Any]) -> Iterator[str]:
    for kind, content in holder.get("content", {}).items():
        reference = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        link = f', <a href="#{escape(reference)}">{escape(reference)}</a>' if reference else ""
        yield f"<p><code>{escape(kind)}</code>{link}</p>"
        if "example" in content:
            yield f"<pre>{escape(_text(content['example']))}</pre>"
        for name, example in content.get("examples", {}).items():
            yield f"<p>{escape(name)}</p><pre>{escape(example['value'].strip())}</pre>"


def _schemas(document: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        yield f"<pre>{escape(_text(schema))}</pre></details>"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
