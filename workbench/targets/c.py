"""`c`: the file as an array in a C or C++ source, as microcontroller projects take it in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from workbench.targets.base import Export, ModelTensor, Target
from workbench.values.params import Params

PER_LINE = 12
# What C11 and C++20 keep for themselves.
_TAKEN = frozenset(
    [
        "main",
        "alignas",
        "alignof",
        "and",
        "and_eq",
        "asm",
        "atomic_cancel",
        "atomic_commit",
        "atomic_noexcept",
        "auto",
        "bitand",
        "bitor",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "char8_t",
        "char16_t",
        "char32_t",
        "class",
        "compl",
        "concept",
        "const",
        "consteval",
        "constexpr",
        "constinit",
        "const_cast",
        "continue",
        "co_await",
        "co_return",
        "co_yield",
        "decltype",
        "default",
        "delete",
        "do",
        "double",
        "dynamic_cast",
        "else",
        "enum",
        "explicit",
        "export",
        "extern",
        "false",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "mutable",
        "namespace",
        "new",
        "noexcept",
        "not",
        "not_eq",
        "nullptr",
        "operator",
        "or",
        "or_eq",
        "private",
        "protected",
        "public",
        "register",
        "reinterpret_cast",
        "requires",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "static_assert",
        "static_cast",
        "struct",
        "switch",
        "template",
        "this",
        "thread_local",
        "throw",
        "true",
        "try",
        "typedef",
        "typeid",
        "typename",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "wchar_t",
        "while",
        "xor",
        "xor_eq",
    ]
)


class CParams(Params):
    """How the array is called and laid out."""

    primary: ClassVar[str] = "name"

    name: str = Field("model_data", description="name of the array and of its files; its length is NAME_len")
    align: Literal["4", "8", "16", "32", "64"] = Field(
        "16", description="bytes at whose multiples the array begins; TensorFlow Lite Micro reads from 16"
    )
    language: Literal["cc", "c"] = Field("cc", description="ending of the source; its text is good for both")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        # Names that begin with an underscore belong to compilers.
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", value) or value in _TAKEN:
            raise ValueError(
                "a name in C: letters, digits and underscores, a letter first, at most 63, no word of the language"
            )
        return value


class CArray(Target[CParams]):
    """A C or C++ program that carries the model in itself."""

    name = "c"
    help = "the file as an aligned array in a source and a header, as microcontroller projects (TensorFlow Lite Micro) take it in"
    params = CParams

    def write(self, params: CParams, export: Export, folder: Path) -> None:
        """Write `NAME.h` and `NAME.cc`."""
        (folder / f"{params.name}.h").write_text(_header(params, export), encoding="ascii")
        (folder / f"{params.name}.{params.language}").write_text(_source(params, export), encoding="ascii")


def _header(params: CParams, export: Export) -> str:
    name, guard = params.name, f"WORKBENCH_{params.name.upper()}_H_"
    return "\n".join(
        [
            f"/* {_plain(export.card['recipe']['text'])}, {len(export.content)} bytes,",
            f"   SHA-256 {hashlib.sha256(export.content).hexdigest()}.",
            *_ends("input", export.inputs),
            *_ends("output", export.outputs),
            "   A quantized value is round(real / scale) + zero point. */",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            f"extern const unsigned char {name}[];",
            f"extern const unsigned int {name}_len;",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            f"#endif /* {guard} */",
            "",
        ]
    )


def _source(params: CParams, export: Export) -> str:
    rows = (export.content[i : i + PER_LINE] for i in range(0, len(export.content), PER_LINE))
    return "\n".join(
        [
            f'#include "{params.name}.h"',
            "",
            "#ifndef __cplusplus",
            "#include <stdalign.h>",
            "#endif",
            "",
            f"alignas({params.align}) const unsigned char {params.name}[] = {{",
            *("    " + ", ".join(f"0x{byte:02x}" for byte in row) + "," for row in rows),
            "};",
            f"const unsigned int {params.name}_len = {len(export.content)};",
            "",
        ]
    )


def _ends(kind: str, tensors: Iterable[ModelTensor]) -> list[str]:
    """Return a line of comment for each tensor: numbers and types only, since a name is whatever somebody called it."""
    found = []
    for number, tensor in enumerate(tensors):
        shape = ", ".join("?" if size is None else str(size) for size in tensor.shape)
        scaled = f", scale {tensor.scale:.9g}, zero point {tensor.zero_point}" if tensor.scale is not None else ""
        found.append(f"   {kind} {number}: {tensor.dtype} ({shape}){scaled}")
    return found


def _plain(text: str) -> str:
    """Return text that can stand in a comment: nothing ends it there, and no line goes on in the next."""
    return re.sub(r"[^A-Za-z0-9_ .:+=,@\[\]-]", "?", text)
