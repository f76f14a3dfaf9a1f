"""Where a webhook may go: to addresses of the public internet, and to no others.

A name is resolved once, every address that it has is looked at, and the connection goes to one of
those that were looked at: a name that answers differently a moment later leads nowhere else.
"""

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
LONGEST_URL = 2000


class AddressRefused(ValueError):
    """Nothing may be sent there, and why."""


@dataclass(frozen=True)
class Target:
    """An https URL taken apart, and one address of its host that may be connected to."""

    url: str
    scheme: str
    host: str
    port: int
    path: str
    """With its query."""
    address: str

    @property
    def host_header(self) -> str:
        usual = {"https": 443, "http": 80}[self.scheme]
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == usual else f"{name}:{self.port}"

    @property
    def connected_url(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{address}:{self.port}{self.path}"


def check_url(url: str, allow_private: bool) -> None:
    """What can be said of an address without asking anyone.

    Raises:
        AddressRefused: it could not be sent to, whatever its name stands for.
    """
    parts = _parts(url, allow_private)
    if not allow_private and (literal := _literal(parts.host)) is not None:
        _refuse_unless_public(literal)


def resolve(url: str, allow_private: bool) -> Target:
    """
    Raises:
        AddressRefused: the host has no address, or any that is not public.
    """
    parts = _parts(url, allow_private)
    try:
        found = socket.getaddrinfo(parts.host, parts.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressRefused(f"{parts.host} has no address: {error}") from None
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    if not allow_private:
        for address in addresses:
            _refuse_unless_public(address)
    return Target(url, parts.scheme, parts.host, parts.port, parts.path, str(addresses[0]))


def is_public(address: Address) -> bool:
    """Global by IANA's registries, and so is every IPv4 address that it stands for."""
    return all(_is_global(each) for each in _meanings(address))


def _is_global(address: Address) -> bool:
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not address.is_multicast and not site_local


def _meanings(address: Address) -> Iterator[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    carried = address.ipv4_mapped or address.sixtofour
    if address in NAT64 or address in LOCAL_NAT64:
        carried = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if carried is not None:
        yield carried
    if address.ipv4_mapped is None:
        yield address


def _refuse_unless_public(address: Address) -> None:
    if not is_public(address):
        raise AddressRefused(f"{address} is no address of the public internet")


@dataclass(frozen=True)
class _Parts:
    scheme: str
    host: str
    port: int
    path: str


def _parts(url: str, allow_private: bool) -> _Parts:
    if len(url) > LONGEST_URL or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise AddressRefused(f"must be at most {LONGEST_URL} plain characters without spaces")
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError as error:
        raise AddressRefused(f"is no URL: {error}") from None
    if split.scheme != "https" and not (allow_private and split.scheme == "http"):
        raise AddressRefused("must begin with https://")
    if not host or split.username is not None or split.password is not None:
        raise AddressRefused("must name a host, and no user")
    if "\\" in url or split.fragment or port == 0:
        raise AddressRefused("must have no fragment, no backslash and a port above 0")
    usual = 443 if split.scheme == "https" else 80
    path = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return _Parts(split.scheme, host, port or usual, path)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
