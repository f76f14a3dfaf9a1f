"""Where webhooks may not go: names, literals, and addresses that stand for other addresses."""

import ipaddress
import socket
from typing import Any

import pytest

from core.webhooks.addresses import AddressRefused, check_url, is_public, resolve

NOT_PUBLIC = (
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
    *("2001::1", "100::1", "fec0::1"),
)
PUBLIC = ("1.1.1.1", "93.184.215.14", "2606:4700:4700::1111")
BAD_URLS = (
    *("", "hook", "//host/hook", "http://example.org/", "ftp://example.org/", "file:///etc/passwd"),
    *("https://", "https:///hook", "https://user@example.org/", "https://user:pw@example.org/"),
    *("https://example.org:0/", "https://example.org:99999/", "https://example.org:x/"),
    *("https://example.org/#part", "https://example.org\\@127.0.0.1/", "https://exa mple.org/"),
    *("https://example.org/a\nb", "https://example.org/\x00", "https://exämple.org/"),
    *("javascript:alert(1)", "data:text/plain,x", "gopher://example.org/", "https://[::1/"),
    "https://example.org/" + "a" * 2000,
)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert not is_public(ipaddress.ip_address(address))
    for ask in (check_url, resolve):
        with pytest.raises(AddressRefused):
            ask(f"https://{host}/hook", allow_private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_one_is_taken(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    check_url(f"https://{host}/hook", allow_private=False)
    target = resolve(f"https://{host}:8443/hook?a=1", allow_private=False)
    assert target.connected_url == f"https://{host}:8443/hook?a=1"
    assert target.host_header == f"{host}:8443"


@pytest.mark.parametrize("url", BAD_URLS)
def test_what_is_no_https_url_of_a_host_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(url, allow_private=False)


@pytest.mark.parametrize("name", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_a_name_is_judged_by_what_it_stands_for(name: str) -> None:
    with pytest.raises(AddressRefused):
        resolve(f"https://{name}/hook", allow_private=False)


def test_one_private_address_among_many_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def answering(*addresses: str) -> None:
        entries: list[Any] = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 443)) for each in addresses
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)

    answering("1.1.1.1", "10.0.0.1")
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        resolve("https://example.org/hook", allow_private=False)
    answering("1.1.1.1", "9.9.9.9")
    target = resolve("https://example.org/hook", allow_private=False)
    assert (target.address, target.host_header) == ("1.1.1.1", "example.org")


def test_private_addresses_are_for_those_who_ask_for_them() -> None:
    target = resolve("http://127.0.0.1:8080/hook", allow_private=True)
    assert target.connected_url == "http://127.0.0.1:8080/hook"
    with pytest.raises(AddressRefused):
        resolve("ftp://127.0.0.1/hook", allow_private=True)
