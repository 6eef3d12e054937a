"""`delegate:PATH[?key=value&...]`: any external delegate library (Edge TPU, Hexagon, VX, Arm NN, ...)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from pydantic import Field

from workbench.errors import StageFailed
from workbench.evaluate.interpreter import open_interpreter
from workbench.runtimes.base import Runtime
from workbench.runtimes.litert import LiteRTSession
from workbench.runtimes.nativelog import native_log
from workbench.values.params import Params


class DelegateParams(Params):
    """Which library, and what it is told."""

    primary: ClassVar[str] = "library"

    library: str = Field("", description="path of the shared library, with its own options as PATH?key=value&key=value")
    threads: int = Field(1, ge=1, le=256, description="threads of the operators that it leaves")

    @property
    def path(self) -> Path:
        """The shared library."""
        return Path(self.library.partition("?")[0]).expanduser()

    @property
    def options(self) -> dict[str, str]:
        """What is passed to the library, as text."""
        return dict(parse_qsl(self.library.partition("?")[2], keep_blank_values=True))


class Delegate(Runtime[DelegateParams]):
    """LiteRT's interpreter with a delegate from a shared library (`tflite_plugin_create_delegate`)."""

    name = "delegate"
    help = "an external delegate library: delegate:PATH[?key=value&...]"
    params: ClassVar[type[Params]] = DelegateParams

    def check(self, params: DelegateParams) -> str | None:
        """Say that no library was named, or that there is none."""
        if not params.library:
            return "it needs a library: write delegate:PATH or delegate:PATH?key=value&key=value"
        if not params.path.is_file():
            return f"delegate library {str(params.path)!r} does not exist"
        return None

    def open(self, path: Path, params: DelegateParams) -> LiteRTSession:
        """Load the library and let it take what it can; raises StageFailed with what it said when it refuses."""
        from ai_edge_litert.interpreter import OpResolverType, load_delegate

        with native_log() as log:
            try:
                delegate = load_delegate(str(params.path.resolve()), params.options)
            except (ValueError, OSError, RuntimeError) as error:
                raise StageFailed(_refused(params, error, log.text)) from error
            interpreter: Any = open_interpreter(
                path,
                params.threads,
                # Without XNNPACK, which would take before the delegate is asked.
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_delegates=[delegate],
            )
        return LiteRTSession(interpreter, device=params.path.name)


def _refused(params: DelegateParams, error: Exception, text: str) -> str:
    said = " ".join(line.strip() for line in text.splitlines() if line.strip())[-200:]
    reason = " ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__
    options = ", ".join(f"{k}={v}" for k, v in params.options.items()) or "no options"
    return f"delegate library {params.path.name!r} refused to start with {options}: {reason[:300]}{'; it said: ' + said if said else ''}"
