"""What tests that open the book in a browser share."""

from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request


def complaints_of(page: Page) -> list[str]:
    """Collect what goes wrong while a page is open."""
    complaints: list[str] = []

    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"console: {message.text}")

    def request(request: Request) -> None:
        if urlsplit(request.url).scheme not in ("file", "data", "blob"):
            complaints.append(f"other host: {request.url}")

    page.on("console", console)

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # as when the page before is left while its pictures still come
            complaints.append(f"not loaded ({request.failure}): {request.url}")

    page.on("request", request)
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on("requestfailed", failed)
    return complaints


def no_violations(found: list[dict]) -> None:
    assert not [(rule["id"], node["html"][:200]) for rule in found for node in rule["nodes"]]
