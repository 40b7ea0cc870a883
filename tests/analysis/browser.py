"""A real browser without a screen: Debian's Chromium, driven by selenium."""

import base64
import json
import shutil
from pathlib import Path

import pytest

_FLAGS = ('headless=new', 'no-sandbox', 'disable-gpu', 'hide-scrollbars', 'no-first-run')
# Else Chromium asks its maker for news, and those requests would be taken for the page's.
_SILENT = ('disable-background-networking', 'disable-component-update', 'disable-sync', 'disable-quic')


class Browser:
    """Shows a page of a given width, and says what the page asked for and complained of."""

    def __init__(self):
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        for flag in (*_FLAGS, *_SILENT):
            options.add_argument(f'--{flag}')
        options.binary_location = shutil.which('chromium')
        options.set_capability('goog:loggingPrefs', dict(browser='ALL', performance='ALL'))
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which('chromedriver')))

    def open(self, path: Path, width: int, dark: bool = False) -> None:
        from selenium.webdriver.support.wait import WebDriverWait

        size = dict(width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        scheme = dict(name='prefers-color-scheme', value='dark' if dark else 'light')
        self.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
        self.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(features=[scheme]))
        self.driver.get('about:blank')  # else the page before, which may be the same one, is taken for the new one
        for kind in ('browser', 'performance'):
            self.driver.get_log(kind)
        self.driver.get(path.as_uri())
        ready = 'return document.readyState === "complete" && location.href === arguments[0]'
        WebDriverWait(self.driver, 60).until(lambda _: self.run(ready, path.as_uri()))

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        return [entry['message'] for entry in self.driver.get_log('browser')]

    def requests(self) -> list[str]:
        """Everything but what lies in the page itself."""
        messages = (json.loads(entry['message'])['message'] for entry in self.driver.get_log('performance'))
        sent = (each['params'] for each in messages if each['method'] == 'Network.requestWillBeSent')
        return [each['request']['url'] for each in sent if not each['request']['url'].startswith('data:')]

    def screenshot(self, path: Path) -> None:
        width, height = self.run('return [innerWidth, document.documentElement.scrollHeight]')
        clip = dict(x=0, y=0, width=width, height=min(height, 8000), scale=1)
        taken = self.driver.execute_cdp_cmd('Page.captureScreenshot', dict(captureBeyondViewport=True, clip=clip))
        path.write_bytes(base64.b64decode(taken['data']))

    def print(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.driver.print_page()))


def open_browser() -> Browser:
    """Skips the test that asks where there is no Chromium."""
    pytest.importorskip('selenium')
    if missing := [name for name in ('chromium', 'chromedriver') if not shutil.which(name)]:
        pytest.skip(f"no {' and no '.join(missing)}: install Debian's packages chromium and chromium-driver")
    return Browser()
