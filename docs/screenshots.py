"""Pictures of the Dagster UI for the README and the docs: `python -m docs.screenshots` (`make screenshots`).

Opens the fleet in FLEET_HOME in a web server of its own on a free port, drives headless Chromium over it, and writes
docs/images/*.png. For the failed gate it makes a second fleet in a temporary folder, with a policy that no recording
can meet. What the pictures show is the business of `resources/reporting.py` and of the workflows' `previews.py`.
"""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = ROOT / "docs" / "images"
REAL_RECORDING: Final = ROOT.parent / "shared" / "data" / "comma2k19_example"
VEHICLE: Final = "comma2k19_rav4"
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
BROWSER_ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
LARGE: "Final[ViewportSize]" = {"width": 2000, "height": 1100}
NORMAL: "Final[ViewportSize]" = {"width": 1500, "height": 900}
COLORS: Final = 256
MAX_BYTES: Final = 300_000
START_S: Final = 120.0
WAIT_MS: Final = 60_000
SETTLE_MS: Final = 1500
IMPOSSIBLE_COVERAGE: Final = "  min_share: 1.0"


class ScreenshotError(RuntimeError):
    """Something that the pictures need is missing; the message says what to do."""


def _browser() -> str:
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise ScreenshotError(f"none of {', '.join(BROWSERS)} is on the PATH. Install one: `apt-get install chromium`.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _program(name: str) -> str:
    """A program of the same virtual environment."""
    return str(Path(sys.executable).parent / name)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP OK
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def web_server(home: Path) -> Iterator[str]:
    """The UI of a fleet on a free port; the server and the code server that it starts end with the block.

    Yields:
        Its address.

    Raises:
        ScreenshotError: When it does not come up, with the end of its log.
    """
    url = f"http://127.0.0.1:{(port := _free_port())}"
    command = [_program("dagster-webserver"), "-h", "127.0.0.1", "-p", str(port), "-m", "fleet_assets.definitions"]
    environment = {**os.environ, "FLEET_HOME": str(home), "DAGSTER_HOME": str(home)}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(  # noqa: S603 - fixed program, no shell
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            deadline = time.monotonic() + START_S
            while not _answers(url):
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise ScreenshotError(f"dagster-webserver did not come up:\n{log.read().decode()[-2000:]}")
                time.sleep(0.5)
            yield url
        finally:
            _end(server)


def _end(server: "subprocess.Popen[bytes]") -> None:
    """End the server with its own children: it was started as a session of its own."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, kind)
        except ProcessLookupError:
            break
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            continue
    server.wait()


@contextmanager
def _page(viewport: "ViewportSize") -> Iterator["Page"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_browser(), args=list(BROWSER_ARGUMENTS))
        try:
            page = browser.new_context(viewport=viewport).new_page()
            page.set_default_timeout(WAIT_MS)
            page.add_init_script("localStorage.setItem('dagster-nav-collapsed', 'true')")
            yield page
        finally:
            browser.close()


def _open(page: "Page", url: str, *texts: str) -> None:
    """Open an address and wait until all texts are there and the page has come to rest."""
    page.goto(url)
    for text in texts:
        page.get_by_text(text).first.wait_for()
    page.wait_for_timeout(SETTLE_MS)
    if (skip := page.get_by_role("button", name="Skip")).count():
        skip.first.click()  # homes made by older versions ask for a newsletter first
        page.wait_for_timeout(SETTLE_MS)


def store(page: "Page", name: str) -> Path:
    """Write what the page shows to docs/images with a reduced palette.

    Raises:
        ScreenshotError: When the file would be larger than a repository should hold.
    """
    from PIL import Image

    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    target = IMAGES / f"{name}.png"
    IMAGES.mkdir(parents=True, exist_ok=True)
    shot.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(target, optimize=True)
    if (size := target.stat().st_size) > MAX_BYTES:
        raise ScreenshotError(f"{target}: {size} bytes, limit {MAX_BYTES}. Lower COLORS or the viewport.")
    return target


def fullest_partition(home: Path) -> str:
    """Dagster key of the partition with the most rows in silver/signals.

    Raises:
        ScreenshotError: When there is none.
    """
    from resources.profiles import local_fleet

    fleet = local_fleet(home)
    entries = fleet.lake.entries(fleet.table("silver.signals"))
    if not entries:
        raise ScreenshotError(f"{home}: no silver signals. Run `make demo` first.")
    return "|".join(max(entries, key=lambda entry: (entry.rows, entry.partition)).partition)


def picture_fleet(home: Path) -> Iterator[Path]:
    """Lineage, partition page, asset page and its preview, of a fleet with data."""
    partition = fullest_partition(home)
    with web_server(home) as url:
        signals = f"{url}/assets/silver/signals"
        with _page(LARGE) as page:
            _open(page, f"{signals}?view=lineage&lineageScope=upstream&lineageDepth=1", "sensor_samples", "Passed")
            yield store(page, "lineage")
        with _page(NORMAL) as page:
            _open(page, f"{signals}?view=partitions&partition={quote(partition)}", "dagster/row_count")
            page.get_by_text("Missing (").click()
            page.wait_for_timeout(SETTLE_MS)
            yield store(page, "partitions")
            _open(page, f"{signals}?view=overview", "Row count", "Metadata")
            yield store(page, "asset")
            link = page.get_by_text("Show Markdown").first
            link.scroll_into_view_if_needed()
            link.click()
            page.get_by_alt_text("silver.signals").wait_for()
            page.wait_for_timeout(SETTLE_MS)
            yield store(page, "preview")


def _recording(folder: Path) -> Path:
    """A real recording where there is one, else a synthetic drive of the same car."""
    if REAL_RECORDING.is_dir():
        return REAL_RECORDING
    from tests.recordings_factory import write_comma2k19_drive

    write_comma2k19_drive(folder / "drive", start_utc_ns=1_714_550_400_000_000_000, seconds=30)
    return folder / "drive"


def _held_back(folder: Path) -> Path:
    """A fleet with one drive whose coverage gate fails, since the policy asks for every instant."""
    home = folder / "home"
    (home / "policies").mkdir(parents=True)
    shipped = (ROOT / "policies" / "sync.yaml").read_text().splitlines()
    strict = [IMPOSSIBLE_COVERAGE if line.startswith("  min_share:") else line for line in shipped]
    (home / "policies" / "sync.yaml").write_text("\n".join(strict) + "\n")
    command = [_program("fleet"), "ingest", str(_recording(folder)), "--vehicle", VEHICLE, "--depot", "main"]
    environment = {**os.environ, "FLEET_HOME": str(home), "DAGSTER_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - as above
    if done.returncode != 1:
        raise ScreenshotError(f"a gate should have refused the drive, but:\n{done.stdout}{done.stderr}")
    return home


def picture_failed_gate() -> Iterator[Path]:
    """The page of a gate that failed, with its figures."""
    with tempfile.TemporaryDirectory(prefix="fleet-screenshots-") as folder:
        home = _held_back(Path(folder))
        with web_server(home) as url, _page(NORMAL) as page:
            _open(page, f"{url}/assets/silver/signals?view=checks&checkDetail=coverage", "worst_share")
            yield store(page, "failed_gate")


def main(arguments: Sequence[str] = ()) -> int:
    """Make all pictures of the fleet in FLEET_HOME. Exit code 2 when something that they need is missing."""
    from resources.home import home_path

    home = home_path(arguments[0] if arguments else None)
    try:
        for pictures in (picture_fleet(home), picture_failed_gate()):
            for path in pictures:
                print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB")
    except ScreenshotError as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
