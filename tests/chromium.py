"""A headless Chromium for tests, driven through a pipe by its own protocol; no package is needed.

    with Page(path, dark=True) as page:
        page.evaluate("document.title")
        page.drag((10, 10), (80, 40))
        page.screenshot("page.png")
        assert not page.complaints

Source    https://chromedevtools.github.io/devtools-protocol
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)


class Page:
    """One page; ``complaints`` are its errors, warnings and failed loads."""

    def __init__(
        self,
        path: Path,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        patience: float = 60,
    ) -> None:
        self.patience, self.complaints, self.requests = patience, [], []
        self.profile = tempfile.mkdtemp(prefix="tinyae-chromium-")
        to_read, self.to = os.pipe()
        self.answers, to_write = os.pipe()
        options = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run"
        command = (
            f"exec {CHROMIUM} {options} --remote-debugging-pipe --hide-scrollbars "
            f"--user-data-dir={self.profile} --window-size={width},{height} about:blank "
            f"3<&{to_read} 4>&{to_write}"
        )
        self.process = subprocess.Popen(
            ["bash", "-c", command], pass_fds=(to_read, to_write), stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self.number, self.buffer, self.session = 0, b"", None
        target = next(
            t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"
        )
        attach = {"targetId": target["targetId"], "flatten": True}
        self.session = self.call("Target.attachToTarget", **attach)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self.media(dark=dark)
        self.loaded = False
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        self.wait_until(lambda: self.loaded)

    def media(self, dark: bool = False, media: str = "") -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme], media=media)

    def evaluate(self, expression: str) -> Any:
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, buttons: int = 0) -> None:
        button = "left" if kind != "mouseMoved" or buttons else "none"
        more = {"button": button, "buttons": buttons, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> None:
        self.mouse("mousePressed", *start, buttons=1)
        for k in range(1, steps + 1):
            x, y = (a + (b - a) * k / steps for a, b in zip(start, end))
            self.mouse("mouseMoved", x, y, buttons=1)
        self.mouse("mouseReleased", *end)
        self.frame()

    def key(self, name: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name)
        self.frame()

    def frame(self) -> None:
        """Wait until the next frame is drawn."""
        self.evaluate("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def screenshot(
        self, path: Path | str, clip: tuple[float, float, float, float] | None = None
    ) -> None:
        more: dict[str, Any] = {}
        if clip:
            more["captureBeyondViewport"] = True
            more["clip"] = dict(zip(("x", "y", "width", "height"), clip)) | {"scale": 1}
        Path(path).write_bytes(
            base64.b64decode(self.call("Page.captureScreenshot", **more)["data"])
        )

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        answer: dict[str, Any] = {}

        def answered() -> bool:
            return bool(answer)

        wanted = self.number
        self.wait_until(answered, lambda m: answer.update(m) if m.get("id") == wanted else None)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def wait_until(self, done: Any, see: Any = None) -> None:
        end = time.monotonic() + self.patience
        while not done():
            if not select.select([self.answers], [], [], max(end - time.monotonic(), 0))[0]:
                raise TimeoutError(f"Chromium has not answered for {self.patience} s")
            part = os.read(self.answers, 1 << 20)
            if not part:
                raise AssertionError("Chromium has ended")
            *whole, self.buffer = (self.buffer + part).split(b"\0")
            for text in whole:
                message = json.loads(text)
                self._notice(message)
                if see:
                    see(message)

    def _notice(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["exception"].get("description"))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"][:80])

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *error: object) -> None:
        self.session = None
        try:
            self.call("Browser.close")
            self.process.wait(20)
        except (AssertionError, TimeoutError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.answers)
        shutil.rmtree(self.profile, ignore_errors=True)
