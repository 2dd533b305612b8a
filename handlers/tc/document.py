"""
Reads evidence from a collector's output or from a file, and saves it as a document that can be judged later.

The content is untrusted. Its size and schema are checked when it is read. Secrets and control characters are removed
before it is shown or saved.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from handlers.redaction import clean
from handlers.tc.evidence import Evidence

MOST_BYTES = 32 * 1024 * 1024
MOST_DEVICES = 20_000
MOST_ENTRIES = 200_000
MOST_SAVED = 600_000
"""Maximum characters of a saved document. From a larger one, the instructions of programs are removed."""
_LEFT_OUT = "left out of the saved document, which would have been too large"


class UnreadableDocument(ValueError):
    """The input is not valid evidence. The message gives the reason in one sentence, without a full stop."""


def read_document(data: bytes) -> Evidence:
    """Parse and clean the evidence that a collector printed. Raises `UnreadableDocument`."""
    if not data.strip():
        raise UnreadableDocument("it is empty")
    if len(data) > MOST_BYTES:
        raise UnreadableDocument(f"it has more than {MOST_BYTES // 2**20} MiB")
    try:
        evidence = Evidence.model_validate_json(data)
    except ValidationError as error:
        raise UnreadableDocument(_fault(error)) from None
    if "schema_" not in evidence.model_fields_set:
        raise UnreadableDocument("it does not say that it is csm.tc-evidence/1")
    devices = [device for namespace in evidence.namespaces for device in namespace.devices]
    entries = sum(len(device.ingress or ()) + len(device.egress or ()) for device in devices)
    if len(devices) > MOST_DEVICES or entries > MOST_ENTRIES:
        raise UnreadableDocument(f"it names {len(devices)} devices and {entries} filters, more than any node has")
    return cleaned(evidence)


def cleaned(evidence: Evidence) -> Evidence:
    """The same evidence without secrets, control characters and line breaks in any string."""
    known: dict[str, str] = {}

    def word(text: str) -> str:
        if text not in known:
            known[text] = " ".join(clean(text, max_chars=1000).split())
        return known[text]

    document = _each_word(evidence.model_dump(by_alias=True), word)
    if all(before == after for before, after in known.items()):
        return evidence
    return Evidence.model_validate(document)


def saved(evidence: Evidence) -> str:
    """Serialise the evidence as a JSON document, which `read_document` can read."""
    text = _json(evidence)
    if len(text) <= MOST_SAVED:
        return text
    programs = {
        number: program.model_copy(update={"instructions": None, "calls": {}, "unseen": (*program.unseen, _LEFT_OUT)})
        for number, program in evidence.programs.items()
    }
    return _json(evidence.model_copy(update={"programs": programs}))


def packed(document: str) -> str:
    """Compress a saved document to base64 text, so that a result can carry it."""
    return base64.b64encode(zlib.compress(document.encode(), 6)).decode()


def unpacked(text: str) -> str:
    """Decompress the text that `packed` returned; empty text gives an empty document."""
    return zlib.decompress(base64.b64decode(text)).decode() if text else ""


def _json(evidence: Evidence) -> str:
    return evidence.model_dump_json(by_alias=True, exclude_defaults=True, exclude={"schema_"}).replace(
        "{", '{"schema":"csm.tc-evidence/1",', 1
    )


def _each_word(value: Any, word: Callable[[str], str], name: str = "") -> Any:
    if isinstance(value, str):
        # Instructions are base64 or empty, which the analysis checks. What looks like a secret in them is none.
        return value if name in {"instructions", "schema"} else word(value)
    if isinstance(value, dict):
        return {key: _each_word(each, word, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_each_word(each, word) for each in value]
    return value


def _fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = clean(".".join(map(str, first["loc"]))[:200], max_chars=100)
    return clean(f"{first['msg'][:200]}{f' at {where}' if where else ''}", max_chars=300)
