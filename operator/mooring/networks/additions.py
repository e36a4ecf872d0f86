"""AddedInterface: owns the sentence by which a pod's events tell what one network gave it; refuses to tell nothing.

The wording is Multus', which dashboards and tests of its users look for: `Add eth0 [10.1.1.2/24] from pod-network`.
"""

from __future__ import annotations

from typing import Any

from mooring.networks import results

REASON = "AddedInterface"


def note(*, network: str, interface: str, result: dict[str, Any]) -> str:
    """Return the sentence; "" for a network that gave neither an interface nor an address."""
    read = results.read(result)
    if not read.interfaces and not read.addresses:
        return ""
    addresses = " ".join(address.with_length for address in read.addresses)
    return f"Add {interface} [{addresses}]" + (f" from {network}" if network else "")
