"""Owns what a journal says is held: the entries of one sandbox in the AttachmentSlices; refuses to judge its pod.

An entry is canonical JSON, one text: as small as it can be held, compared at once, and what goes over the wire.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
from typing import TYPE_CHECKING, Any

from mooring.installing import attachmentslices
from mooring.networks import fingerprints, results

if TYPE_CHECKING:
    from mooring.node import journals

# Half of a surrogate pair: JSON can spell it, and the API server would store something else.
_HALF = re.compile("[\ud800-\udfff]")


def entries(journal: journals.Journal) -> tuple[str, ...]:
    """Return what a sandbox holds; nothing for a pod that has the default network alone.

    More than that is a network by a definition, the default one too, or another one that gave an address. What is
    being undone, or could not be, is still held.
    """
    held = [
        (attachment, results.read(attachment.result or {})) for attachment in journal.attachments if attachment.held
    ]
    if not any(attachment.nad or (not attachment.default and result.addresses) for attachment, result in held):
        return ()
    return tuple(
        text(_entry(journal, attachment, part)) for attachment, result in held for part in results.parts(result)
    )


def text(entry: dict[str, Any]) -> str:
    """Return an entry as the text that it is compared by."""
    return _HALF.sub("\ufffd", json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def _entry(journal: journals.Journal, attachment: journals.Attachment, part: results.Part) -> dict[str, Any]:
    interface = part.interface
    return attachmentslices.HeldAttachment(
        pod=attachmentslices.AttachedPod(namespace=journal.namespace, name=journal.pod, uid=journal.uid or None),
        network=attachment.network,
        interface=(interface.name if interface else "") or attachment.interface,
        addresses=[_address(address) for address in part.addresses],
        mac=(interface.mac.lower() if interface else "") or None,
        device=_device(attachment) or None,
        config_hash=(fingerprints.of_conf(attachment.conf) if attachment.conf else "") or None,
        attached_at=attachment.time if is_time(attachment.time) else None,
    ).to_wire()


def _address(address: results.Address) -> str:
    shortest = str(ipaddress.ip_address(address.ip))
    return shortest if address.length is None else f"{shortest}/{address.length}"


def _device(attachment: journals.Attachment) -> str:
    conf = attachment.conf
    plugins = conf.get("plugins")
    listed = plugins if "type" not in conf and isinstance(plugins, list) else []
    for source in (attachment.given, conf, *listed):
        for key in ("deviceID", "pciBusID"):
            found = source.get(key) if isinstance(source, dict) else None
            if found and isinstance(found, str):
                return found
    return ""


def is_time(moment: str) -> bool:
    """Say whether the API server takes a time: one damaged time must not keep a whole slice from being written."""
    try:
        return moment.endswith("Z") and datetime.datetime.fromisoformat(moment).tzinfo is not None and "T" in moment
    except ValueError:
        return False
