"""Headless Chromium, asked through its debugging port: enough to open a page, act in it and look at it."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
]
PATIENCE = 120.0
"""Seconds that a busy machine may take to open a page."""


class Page:
    """One tab; remembers each request that it makes, and each error that its scripts leave."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._last = 0
        self.requests: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._last:
                assert "error" not in message, message
                return dict(message["result"])
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(message["params"]["exceptionDetails"])[:2000])
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.errors.append(message["params"]["entry"]["text"])

    def run(self, script: str) -> Any:
        """The value of a script's last expression; a promise's once it is there."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, path: Path, width: int = 1280, height: int = 900) -> None:
        """Opens a report, the tab's first page, and waits until its figures are drawn."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + PATIENCE
        while self.run("document.documentElement?.dataset.ready") != "yes":
            assert time.monotonic() < end, f"the page was not ready in time: {self.errors}"
            time.sleep(0.1)


class Browser:
    """A running browser, in which each page gets a tab of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[Any] = []

    def tab(self) -> Page:
        import websocket

        with urlopen(Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")) as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        self._sockets.append(websocket.create_connection(address, suppress_origin=True, timeout=PATIENCE))
        return Page(self._sockets[-1])

    def close(self) -> None:
        for socket in self._sockets:
            socket.close()


@contextmanager
def opened_browser(profile: Path) -> Iterator[Browser]:
    """A browser of its own, which ends with the block; `profile` is a new folder for what it keeps."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            browser = Browser(_port(profile / "DevToolsActivePort", process))
            try:
                yield browser
            finally:
                browser.close()
        finally:
            process.terminate()


def _port(file: Path, process: "subprocess.Popen[bytes]") -> int:
    end = time.monotonic() + PATIENCE
    while not (file.exists() and file.read_text().strip()):
        assert process.poll() is None, "the browser ended at once"
        assert time.monotonic() < end, "the browser did not open its port in time"
        time.sleep(0.1)
    return int(file.read_text().split()[0])
