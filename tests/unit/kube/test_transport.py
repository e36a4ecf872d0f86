"""Credentials that are replaced while a process runs are followed, and no others."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
from typing import TYPE_CHECKING

import pytest
from kubernetes.aio.config import incluster_config

from mooring.admission import certificates
from mooring.kube import errors, transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW = datetime.datetime.now(datetime.UTC)
ONE, OTHER = (
    base64.b64decode(certificates.ca_bundle(certificates.make(namespace="n", now=NOW))).decode() for _ in range(2)
)


class Volume:
    """A pod's service account as the kubelet shows it: files are links into a folder that is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._count = 0
        path.mkdir()
        for name in ("ca.crt", "token"):
            (path / name).symlink_to(f"..data/{name}")

    def put(self, *, authority: str, bearer: str) -> None:
        self._count += 1
        folder = self.path / f"..{self._count}"
        folder.mkdir()
        (folder / "ca.crt").write_text(authority)
        (folder / "token").write_text(bearer)
        (self.path / "..data_tmp").symlink_to(folder.name)
        (self.path / "..data_tmp").rename(self.path / "..data")


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    made = Volume(tmp_path / "serviceaccount")
    made.put(authority=ONE, bearer="first")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(made.path / "ca.crt"))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(made.path / "token"))
    return made


@pytest.fixture
async def connection(volume: Volume) -> AsyncIterator[transport.Connection]:
    made = await transport.connect()
    yield made
    await made.close()


async def authorization(connection: transport.Connection) -> str:
    headers: dict[str, str] = {}
    api = await connection.current()
    await api.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
    return headers["authorization"]


async def test_nothing_is_read_while_the_files_are_as_they_were(
    connection: transport.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await connection.current()

    def read() -> None:
        raise AssertionError("there is nothing new")

    monkeypatch.setattr(transport, "_load", read)
    for _ in range(3):
        assert await connection.current() is before


async def test_another_authority_makes_other_connections_and_is_told(
    connection: transport.Connection, volume: Volume
) -> None:
    told: list[bytes] = []
    connection.on_change(lambda: told.append(connection.server.authority))
    before = await connection.current()
    volume.put(authority=OTHER, bearer="second")
    after = await asyncio.gather(*(connection.current() for _ in range(5)))
    assert before not in after
    assert len(set(map(id, after))) == 1
    assert told == [OTHER.encode()]
    assert await authorization(connection) == "bearer second"
    trusted = [each["serialNumber"] for each in after[0].rest_client.ssl_context.get_ca_certs()]
    assert trusted != [each["serialNumber"] for each in before.rest_client.ssl_context.get_ca_certs()]
    assert len(trusted) == 1, "the old authority is trusted no more"


async def test_another_token_alone_keeps_the_connections(connection: transport.Connection, volume: Volume) -> None:
    told: list[None] = []
    connection.on_change(lambda: told.append(None))
    before = await connection.current()
    volume.put(authority=ONE, bearer="second")
    assert await connection.current() is before
    assert await authorization(connection) == "bearer second"
    assert told == []


@pytest.mark.parametrize("authority", ["", "no certificate", ONE[: len(ONE) // 2]])
async def test_what_is_of_no_use_is_not_taken_and_told_once(
    connection: transport.Connection, volume: Volume, caplog: pytest.LogCaptureFixture, authority: str
) -> None:
    before = await connection.current()
    volume.put(authority=authority, bearer="second")
    for _ in range(3):
        assert await connection.current() is before
    assert caplog.text.count("of no use") == 1
    volume.put(authority=OTHER, bearer="third")
    assert await connection.current() is not before
    assert connection.server.authority == OTHER.encode()


async def test_files_that_vanish_change_nothing_until_they_are_back(
    connection: transport.Connection, volume: Volume
) -> None:
    before = await connection.current()
    (volume.path / "..data").unlink()
    assert await connection.current() is before
    volume.put(authority=OTHER, bearer="second")
    assert await connection.current() is not before


async def test_a_change_that_the_file_does_not_show_is_found_when_the_server_is_not_trusted(
    connection: transport.Connection, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await connection.current()
    monkeypatch.setattr(transport, "_identities", dict.fromkeys)
    (volume.path / "ca.crt").write_text(OTHER)
    assert await connection.renew()
    assert await connection.current() is not before
    assert not await connection.renew(), "nothing changed since"


async def test_another_server_in_the_kubeconfig_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeconfig"
    (tmp_path / "ca.crt").write_text(ONE)

    def write(server: str) -> None:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": "ca.crt"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (tmp_path / "new").write_text(json.dumps(document))
        (tmp_path / "new").rename(path)

    write("https://127.0.0.1:1")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(path))
    connection = await transport.connect()
    write("https://127.0.0.1:2")
    await connection.current()
    assert connection.server.url == "https://127.0.0.1:2"
    (tmp_path / "ca.crt").write_text(OTHER)
    await connection.current()
    assert connection.server.authority == OTHER.encode()
    await connection.close()


async def test_a_session_of_its_own_has_the_credentials_of_now(
    connection: transport.Connection, volume: Volume
) -> None:
    volume.put(authority=OTHER, bearer="second")
    async with (await connection.sessions())(()) as session:
        assert session.headers["authorization"] == "bearer second"


@pytest.mark.looptime
async def test_calls_in_flight_end_before_the_connections_of_before_do(
    connection: transport.Connection, volume: Volume
) -> None:
    before = (await connection.current()).rest_client
    before.pool_manager = session = before._create_pool_manager()
    volume.put(authority=OTHER, bearer="second")
    await connection.current()
    await asyncio.sleep(29)
    assert not session.closed
    await asyncio.sleep(2)
    assert session.closed


async def test_closing_ends_the_connections_of_before_too(volume: Volume) -> None:
    connection = await transport.connect()
    before = (await connection.current()).rest_client
    before.pool_manager = session = before._create_pool_manager()
    volume.put(authority=OTHER, bearer="second")
    await connection.current()
    await connection.close()
    assert session.closed


async def test_without_usable_credentials_there_is_no_connection(volume: Volume) -> None:
    for authority in ("", "no certificate"):
        volume.put(authority=authority, bearer="t")
        with pytest.raises(errors.Unreachable, match="no usable credentials"):
            await transport.connect()


async def test_no_key_is_shown(connection: transport.Connection) -> None:
    server = transport.Server(url="u", authority=b"", certificate=b"", key=b"secret", name="", verified=True)
    assert "secret" not in repr(server)
