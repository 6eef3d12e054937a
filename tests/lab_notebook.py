"""A notebook that is open in a real JupyterLab: what one can do with it, and what it shows."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from playwright.sync_api import ConsoleMessage, Locator, Page
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import TimeoutError as BrowserTimeout

if TYPE_CHECKING:
    from lab import Lab

PATIENCE = 120.0
"""Seconds for what takes three on an idle machine: a busy machine is no failure."""

SCRIPT = r"""
window.lab = {
  runs: new Map(), replies: [],
  panel: () => window.jupyterapp?.shell.currentWidget,
  cell: index => lab.panel().content.widgets[index],

  ready(path, busy) {
    const panel = lab.panel(), kernel = panel?.sessionContext?.session?.kernel;
    if (panel?.context?.path !== path || !panel.context.isReady || kernel?.connectionStatus !== 'connected') return false;
    if (document.querySelector('#jupyterlab-splash')) return false;
    return kernel.status === 'idle' || busy && kernel.status === 'busy';
  },

  // Notes for each cell of this run when it is through; a cell that an earlier one's failure left out is so at the end.
  start(index) {
    const {content} = lab.panel();
    content.deselectAll();
    if (index !== null) content.activeCellIndex = index;
    const runs = content.widgets.filter((_, i) => index === null || i === index).map(({model}) => {
      const run = {done: false};
      model.stateChanged?.connect((_, {name, newValue}) => {
        if (name === 'executionState' && newValue === 'idle') run.done = true;
      });
      lab.runs.set(model.id, run);
      return run;
    });
    const finish = () => runs.forEach(run => run.done = true);
    window.jupyterapp.commands.execute(index === null ? 'notebook:run-all-cells' : 'notebook:run-cell').then(finish, finish);
  },

  // '' while it runs, else 'done' or 'left out'. Done means that its outputs can be seen, too.
  state(index) {
    const cell = lab.cell(index), {model} = cell, run = lab.runs.get(model.id);
    if (run ? !run.done : model.executionState === 'running') return '';
    if (model.type !== 'code' || !model.sharedModel.source.trim()) return 'done';
    if (model.executionCount === null) return run ? 'left out' : '';
    const shown = cell.outputArea.node.querySelectorAll(':scope > .jp-OutputArea-child');
    if (shown.length < Math.min(model.outputs.length, cell.outputArea.maxNumberOutputs || Infinity)) return '';
    return cell.outputArea.node.innerText.includes('Loading widget...') ? '' : 'done';
  },

  // The model tells an error from a line on stderr; the page does not. Output widgets have models of their own.
  errors() {
    const found = [];
    const look = widget => {
      if (widget.hasClass('jp-OutputArea'))
        found.push(...widget.model.toJSON().filter(output => output.output_type === 'error'));
      for (const child of widget.children?.() ?? widget.layout ?? []) look(child);
    };
    lab.panel().content.widgets.forEach(cell => cell.outputArea && look(cell.outputArea));
    return found.map(error => error.traceback.join('\n') || `${error.ename}: ${error.evalue}`).join('\n');
  },

  countReplies() {
    const {kernel} = lab.panel().sessionContext.session;
    lab.words = '';
    if (lab.counted === kernel) return lab.replies.length;
    lab.counted = kernel;
    kernel.anyMessage.connect((_, {msg, direction}) => {
      if (direction === 'recv' && msg.header.msg_type === 'complete_reply')
        lab.replies.push(msg.content.matches?.length ?? 0);
    });
    return lab.replies.length;
  },
};
"""


class Notebook:
    """A notebook that is open in a page of its own, with its kernel.

    Cells are counted from 0. What waits fails after its `timeout` in seconds with the cell and what was seen.
    """

    def __init__(self, lab: Lab, page: Page, path: Path) -> None:
        self.lab, self.page, self.path = lab, page, path
        self.console: list[str] = []
        """Errors on the browser's console and uncaught ones, in order."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.console.append(str(error)))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.console.append(message.text)

    def run(self, index: int, timeout: float = PATIENCE) -> None:
        """Run one cell as Ctrl+Enter does, and wait until it is through, well or with an error."""
        self.start(index)
        self.wait_cell(index, timeout)

    def start(self, index: int) -> None:
        """Run one cell and do not wait."""
        self.page.evaluate("index => lab.start(index)", index)

    def run_all(self, timeout: float = 300) -> None:
        """Run all cells and wait for each; those after a failing one stay without a count, as Lab leaves them."""
        self.page.evaluate("lab.start(null)")
        end = time.monotonic() + timeout
        for index in range(len(self)):
            self.wait_cell(index, max(1.0, end - time.monotonic()), may_be_left_out=True)

    def wait_cell(self, index: int, timeout: float = PATIENCE, may_be_left_out: bool = False) -> None:
        """Wait until a started cell is through and its outputs are shown."""
        state = self._wait(
            "index => lab.state(index)",
            index,
            timeout,
            lambda: f"cell {index} is through; output: {self._brief(index)}",
        )
        assert state == "done" or may_be_left_out, f"cell {index} was left out: {self.errors()}"

    def __len__(self) -> int:
        return int(self.page.evaluate("lab.panel().content.widgets.length"))

    def cell(self, index: int) -> Locator:
        """The whole cell."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook-cell").nth(index)

    def output(self, index: int) -> Locator:
        """The output area of a cell."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def output_text(self, index: int) -> str:
        """What the outputs of a cell say now, as one reads it on the screen, without the prompts."""
        outputs = self.output(index).locator("> .jp-OutputArea-child > .jp-OutputArea-output")
        return "\n".join(outputs.all_inner_texts()).strip()

    def errors(self) -> str:
        """The tracebacks that the notebook shows, those in output widgets included, without colours; "" without any."""
        return re.sub(r"\x1b\[[0-9;]*m", "", cast(str, self.page.evaluate("lab.errors()"))).strip()

    def add_cell(self, code: str) -> int:
        """Put a code cell at the end; its index."""
        index = len(self)
        cell = {"cell_type": "code", "source": code, "metadata": {"trusted": True}}
        self.page.evaluate("([index, cell]) => lab.panel().model.sharedModel.insertCell(index, cell)", [index, cell])
        self.cell(index).locator(".cm-content").wait_for()
        return index

    def complete(self, index: int, text: str, timeout: float = PATIENCE) -> list[str]:
        """What Tab offers after `text` was typed into a cell; the cell's own code is put aside and back.

        A single match, which Lab puts in without asking, comes as the one word that then stands there.
        """
        source = cast(str, self.page.evaluate("index => lab.cell(index).model.sharedModel.source", index))
        self._set_source(index, "")
        try:
            self.cell(index).locator(".cm-content").click()
            self.page.keyboard.type(text)
            typed = self._source(index)
            before = self.page.evaluate("lab.countReplies()")
            self.page.keyboard.press("Tab")
            self._wait("n => lab.replies.length > n", before, timeout, lambda: f"Tab after {text!r} is answered")
            # Lab adds words from the notebook to the kernel's, so that no match of that one need not mean none.
            matches = self.page.evaluate("lab.replies.at(-1)")
            return self._offered(index, typed, timeout if matches else 1.0)
        finally:
            self.page.keyboard.press("Escape")
            self._set_source(index, source)

    def _offered(self, index: int, typed: str, timeout: float) -> list[str]:
        script = """([index, typed]) => {
          const items = [...document.querySelectorAll('.jp-Completer:not(.lm-mod-hidden) .jp-Completer-item')];
          const source = lab.cell(index).model.sharedModel.source;
          if (source !== typed) return [source.split(/\\s/).at(-1)];
          const words = items.map(item => item.querySelector('.jp-Completer-match').innerText);
          // The list is filled bit by bit: it is whole when it is twice the same.
          const same = lab.words === words.join('\\n');
          lab.words = words.join('\\n');
          return words.length && same ? words : null;
        }"""
        try:
            found = self.page.wait_for_function(script, arg=[index, typed], timeout=1000 * timeout, polling=100)
        except BrowserTimeout:
            return []
        return cast(list[str], found.json_value())

    def _source(self, index: int) -> str:
        return cast(str, self.page.evaluate("index => lab.cell(index).model.sharedModel.source", index))

    def _set_source(self, index: int, source: str) -> None:
        self.page.evaluate("([i, source]) => lab.cell(i).model.sharedModel.setSource(source)", [index, source])

    def save(self) -> Path:
        """Save as Ctrl+S does; the file, once it is written."""
        before = self.path.stat().st_mtime_ns
        script = "lab.saved = ''; void lab.panel().context.save().then(() => 'yes', String).then(x => lab.saved = x)"
        self.page.evaluate(script)
        answer = self._wait("() => lab.saved", None, PATIENCE, lambda: "the notebook is saved")
        written = answer == "yes" and self.path.stat().st_mtime_ns > before
        assert written, f"{self.path} was not written ({answer}); log:\n{self.lab.log_tail()}"
        return self.path

    def set_dark(self, dark: bool) -> None:
        """Change to JupyterLab's dark or light theme, as the Settings menu does."""
        theme = f"JupyterLab {'Dark' if dark else 'Light'}"
        self.page.evaluate("theme => void jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        script = "theme => document.body.dataset.jpThemeName === theme && !document.querySelector('#jupyterlab-splash')"
        self._wait(script, theme, PATIENCE, lambda: f"the theme is {theme}")

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self.page.set_viewport_size({"width": width, "height": height})

    def screenshot(self, path: Path, full: bool = False) -> Path:
        """Write a PNG of the window, or with `full` of a window so high that the whole notebook is in view."""
        size = self.page.viewport_size
        assert size
        if full:
            hidden = "() => { const s = lab.panel().content.outerNode; return s.scrollHeight - s.clientHeight; }"
            self.resize(size["width"], min(16_000, size["height"] + int(self.page.evaluate(hidden))))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.page.screenshot(path=path, timeout=1000 * PATIENCE)
        finally:
            if full:
                self.resize(size["width"], size["height"])
        return path

    def reload(self) -> None:
        """Load the page again: what is on disk, with the kernel that still runs; waits until that answers."""
        self.page.reload(timeout=1000 * PATIENCE)
        self._wait_ready(busy=True)

    def close(self, shutdown: bool = True) -> None:
        """Close the page and shut the kernel down; without `shutdown` it runs on, for `lab.open(notebook.path)`."""
        self.lab.show_loop()
        if self in self.lab.notebooks:
            self.lab.notebooks.remove(self)
            with contextlib.suppress(BrowserError):
                self.page.close()
        if shutdown:
            self.lab.shut_down(self.path)

    def _wait_ready(self, busy: bool = False) -> None:
        arg = [self.path.relative_to(self.lab.root).as_posix(), busy]
        self._wait("([path, busy]) => window.lab.ready(path, busy)", arg, PATIENCE, lambda: f"{self.path.name} is open")

    def _wait(self, script: str, arg: Any, timeout: float, what: Callable[[], str]) -> Any:
        try:
            return self.page.wait_for_function(
                script, arg=arg, timeout=max(1.0, 1000 * timeout), polling=50
            ).json_value()
        except BrowserTimeout:
            pass
        raise AssertionError(f"after {timeout:.0f} s it is not so that {what()}; console: {self.console[-5:]}")

    def _brief(self, index: int) -> str:
        return self.output_text(index)[-300:]
