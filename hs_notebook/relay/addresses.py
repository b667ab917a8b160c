"""Addresses as they are compared: one of IPv4 is the same where a socket of IPv6 names it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text is, None for a name."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
