"""Installed distributions, written by hand: the metadata that pip would leave in a folder of sys.path."""

from __future__ import annotations

from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def distribution(folder: Path, name: str, files: dict[str, bytes | str], version: str = "1.0") -> Path:
    """A `.dist-info` with these files and, unless they hold another, a proper METADATA."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    for file, content in {"METADATA": METADATA.format(name=name, version=version), **files}.items():
        (info / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return info


def plugin_package(folder: Path, name: str, body: str, version: str = "1.0") -> None:
    """A distribution `acme-NAME` with one module and in it one plugin class, `body` being what is in the class."""
    body = body or "pass"
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    head = "import os\nfrom typing import Any\n\nfrom balancer import Plugin, PluginConfig, SignalSpec, hookimpl\n\n\n"
    folder.mkdir(exist_ok=True)
    (folder / f"acme_{name}.py").write_text(
        f'{head}class Acme(Plugin):\n    name = "{name}"\n{lines}', encoding="utf-8"
    )
    points = f"[balancer.plugins]\n{name} = acme_{name}:Acme\n"
    distribution(folder, f"acme-{name}", {"entry_points.txt": points}, version)
