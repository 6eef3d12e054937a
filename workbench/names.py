"""Names that people gave, made fit for where they go: a text, a line for a shell or a notebook, a file's name."""

from __future__ import annotations

import hashlib
import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence

# What a shell's own quotation cannot carry within one line of text.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|(.))", re.DOTALL)


def printable(name: str) -> str:
    """Return a name as text that can be written: bytes of a file's name that are no UTF-8 become `\\udcNN`."""
    return name.encode("utf-8", "backslashreplace").decode()


def without_password(word: str) -> str:
    """Return a URL, or a word that holds one, with its passwords starred out: before the host, and among what follows `?`."""
    if "://" not in word:
        return word
    word = re.sub(r"(://[^:/@?]*):.*@", r"\1:***@", word, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*pass[^=&]*=)[^&]*", r"\1***", word, flags=re.IGNORECASE)


def shell(words: Iterable[str]) -> str:
    """Return words as one line for a shell, each quoted where it has to be; `split` takes it apart again.

    Words with line breaks, or bytes that are no UTF-8, are written `$'a\\x0ab'`, as bash, zsh and ksh read them.
    """
    return " ".join(_quoted(word) for word in words)


def notebook(words: Iterable[str]) -> str:
    """Return words as one line behind a magic, in which IPython puts variables' values for `{name}` and `$name` first."""
    # It knows no way to write a dollar but as a value; `$$` is two of them within quotes.
    return re.sub(r"\$(?=[\w.])", "{'$'}", re.sub(r"[{}]", r"\g<0>\g<0>", shell(words)))


def command(verb: str, values: Sequence[str], options: Sequence[str] = ()) -> list[str]:
    """Return the words of a command; what begins with a dash stands behind `--`, where it is no option.

    A verb of a group is given with the group's name, as one text.
    """
    if any(value.startswith("-") for value in values):
        return [*verb.split(), *options, "--", *values]
    return [*verb.split(), *values, *options]


def split(line: str) -> list[str]:
    """Return the words of a line that `shell` wrote, or a person; raises ValueError where a quotation does not end."""
    found, at, quote = [], 0, ""
    while at < len(line):
        char = line[at]
        if not quote and line.startswith("$'", at):
            end = re.compile(r"(?:[^'\\]|\\.)*'", re.DOTALL).match(line, at + 2)
            if end is None:
                raise ValueError("No closing quotation")
            found.append(shlex.quote(_plain(end[0][:-1])))
            at = end.end()
            continue
        if char == "\\" and quote != "'":
            found.append(line[at : at + 2])
            at += 2
            continue
        if char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        found.append(char)
        at += 1
    return shlex.split("".join(found))


def file_stem(name: str, most: int = 120) -> str:
    """Return a name as the beginning of a file's: without folders and what cannot be seen, at most so many bytes."""
    stem = "".join("-" if c == "/" or unicodedata.category(c)[0] == "C" else c for c in name)
    if len(stem.encode()) > most:
        digest = hashlib.sha256(printable(name).encode()).hexdigest()[:8]
        stem = f"{stem.encode()[: most - 9].decode(errors='ignore')}-{digest}"
    return stem


def _quoted(word: str) -> str:
    if not _CONTROL.search(word):
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")

    def octets(match: re.Match[str]) -> str:
        return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))

    return f"$'{_CONTROL.sub(octets, escaped)}'"


def _plain(escaped: str) -> str:
    data = bytearray()
    at = 0
    for match in _ESCAPED.finditer(escaped):
        data += escaped[at : match.start()].encode("utf-8", "surrogateescape")
        data += bytes([int(match[1], 16)]) if match[1] else {"n": "\n", "t": "\t"}.get(match[2], match[2]).encode()
        at = match.end()
    return (data + escaped[at:].encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
