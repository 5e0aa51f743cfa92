"""`odenet watch`: the page follows the saved file, and its server answers this machine alone."""

import json
import os
import socket
import urllib.error
import urllib.request

import pytest

from odenet.diagnostics import SpecError
from odenet.report.watch import HOST, WatchedSpec, serve

SPEC = "state Y\nparam K : dense\nY' = tanh((K - K^T) Y)\ndiscretise midpoint(h = 0.1)\n"


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "small.ode"
    path.write_text(SPEC)
    return path


def save(path, text):
    """Write a text, and set a time of change that depends on it: the clock may be too coarse."""
    path.write_text(text)
    os.utime(path, ns=(1, hash(text) % 10**15))


def get(address, host=None):
    """What a server answers, asked by another host name if one is given."""
    request = urllib.request.Request(address, headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


def test_a_save_makes_another_page_and_an_error_is_shown_with_its_frame(spec):
    watch = WatchedSpec(spec, settings={})
    assert watch.refresh() and not watch.refresh()
    first = watch.page
    assert "<math" in first.html and first.summary == "spectrum imaginary (proved)"
    save(spec, SPEC.replace("midpoint", "midpiont"))
    assert watch.refresh()
    assert "unknown scheme `midpiont`" in watch.page.html and "^^^^^^^^" in watch.page.html
    assert watch.page.summary == "1 error" and watch.page.version != first.version
    save(spec, SPEC)
    assert watch.refresh() and "<math" in watch.page.html


def test_a_file_that_is_missing_at_one_refresh_is_not_yet_reported(spec):
    watch = WatchedSpec(spec, settings={})
    watch.refresh()
    spec.unlink()
    assert not watch.refresh()
    save(spec, SPEC + "# saved by renaming\n")
    assert watch.refresh() and "<math" in watch.page.html
    spec.unlink()
    assert not watch.refresh() and watch.refresh()  # it is still missing at the second call
    assert "there is no such file" in watch.page.html
    assert not watch.refresh()
    save(spec, "")
    assert watch.refresh() and "this file is empty" in watch.page.html


def test_a_used_file_is_watched_too(tmp_path):
    (tmp_path / "part.ode").write_text("let γ = 0.5\n")
    spec = tmp_path / "whole.ode"
    spec.write_text('use "part.ode"\n' + SPEC.replace(") Y)", ") Y) - γ Y"))
    watch = WatchedSpec(spec, settings={})
    watch.refresh()
    assert [path.name for path in watch.page.files] == ["whole.ode", "part.ode"]
    save(tmp_path / "part.ode", "let γ = 0.25\n")
    assert watch.refresh()
    assert "γ = 0.25" in watch.page.html
    (tmp_path / "part.ode").unlink()
    assert watch.refresh() and "no such file" in watch.page.html
    save(tmp_path / "part.ode", "let γ = 0.75\n")
    assert watch.refresh() and "γ = 0.75" in watch.page.html


def test_the_server_gives_only_the_page_and_only_under_its_own_host_name(spec):
    watch = WatchedSpec(spec, settings={})
    watch.refresh()
    with serve(watch, port=0) as address:  # any free port
        assert address.startswith(f"http://{HOST}:")
        assert get(address) == watch.page.html
        assert json.loads(get(f"{address}version")) == watch.page.version
        for path, host in (("", "evil.example"), ("../etc/passwd", None)):
            with pytest.raises(urllib.error.HTTPError):
                get(address + path, host)


def test_a_port_that_is_taken_is_named(spec):
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SpecError, match=f"port {port}: address already in use"):
            with serve(WatchedSpec(spec, settings={}), port):
                pass
