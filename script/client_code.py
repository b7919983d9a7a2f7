"""Write the generated part of the Python client from docs/api.yaml, with openapi-python-client: script/client."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
API = ROOT / "docs" / "api.yaml"
TEMPLATES = Path(__file__).resolve().parent / "client_templates"
CODE = ROOT / "clients" / "python" / "stepmark_client" / "generated"
LINES = "application/x-ndjson"
PACKING = {"in": "header", "name": "Content-Encoding", "schema": {"type": "string"}, "description": "gzip, if the body is packed."}
# The generator knows no lines of JSON: to it they are bytes, and stay what they are in the header.
CONFIG = {"content_type_overrides": {LINES: "application/octet-stream"}, "literal_enums": True}


def write(folder: Path, *, api: Path = API) -> None:
    """Write the package to a folder in place of what is there. The same description gives the same bytes. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "api.json").write_text(json.dumps(adapted(yaml.safe_load(api.read_text()))))
        (work / "config.json").write_text(json.dumps(CONFIG))
        (work / "ruff.toml").write_text('line-length = 140\ntarget-version = "py311"\n')
        made = work / "generated"
        options: list[str | Path] = ["--path", work / "api.json", "--config", work / "config.json", "--custom-template-path", TEMPLATES]
        options += ["--meta", "none", "--fail-on-warning", "--output-path", made]
        tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        subprocess.run([sys.executable, "-m", "openapi_python_client", "generate", *options], env=tools, check=True)
        for unused in ("client.py", "errors.py"):  # stepmark_client.transport sends the requests
            (made / unused).unlink()
        shutil.rmtree(made / ".ruff_cache", ignore_errors=True)
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(made, folder)


def adapted(api: dict[str, Any]) -> dict[str, Any]:
    """Return the description as the generator can use it.

    The client raises refusals before generated code reads them, so no address has them. Values that the site answers with are plain
    texts: a newer site may know more of them. What a request can ask for stays as it is, but an empty text is not sent.
    """
    for methods in api["paths"].values():
        for operation in methods.values():
            operation["responses"] = {status: answer for status, answer in operation["responses"].items() if status < "300"}
            for one in operation.get("parameters", []):
                if one["schema"].get("default") == "":
                    del one["schema"]["default"]
            content = operation.get("requestBody", {}).get("content", {})
            if LINES in content:
                operation["requestBody"]["content"] = {LINES: {"schema": {"type": "string", "format": "binary"}}}
                operation.setdefault("parameters", []).append(PACKING)
    drop_values(api["components"]["schemas"])
    return api


def drop_values(schema: Any) -> None:
    """Remove the lists of values from a schema and all schemas in it."""
    if isinstance(schema, dict):
        if isinstance(schema.get("enum"), list):
            del schema["enum"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for inner in schema:
            drop_values(inner)


if __name__ == "__main__":
    write(CODE)
