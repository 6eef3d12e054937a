"""Data of very many variants made small enough for a page and a notebook: JSON, gzip, base64."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from workbench.errors import WorkbenchError

# Of more variants than this the page holds the figures packed, and shows its table a page at a time.
MANY = 1000
MOST_BYTES = 1 << 28


def packed(data: Any) -> str:
    """Return JSON-shaped data packed; a browser reads it too, where no number in it is endless."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    # The header of gzip, which browsers unpack; it holds no time, so equal data gives equal text.
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return base64.b64encode(packer.compress(text) + packer.flush()).decode()


def unpacked(text: str) -> Any:
    """Return what was packed; raises WorkbenchError for what is no such text, or would take too much room."""
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        found = unpacker.decompress(base64.b64decode(text, validate=True), MOST_BYTES)
        if unpacker.unconsumed_tail:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        if not unpacker.eof:
            raise ValueError("it ends too early")
        return json.loads(found)
    except (ValueError, zlib.error, RecursionError) as error:
        raise WorkbenchError(f"packed results cannot be read: {str(error)[:200]}. Run the notebook again.") from None
