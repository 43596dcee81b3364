"""A real OpenID Connect provider (the npm package oidc-provider) as a process of the test.

`install` puts the pinned packages into a cache directory, once; `open_provider` runs one. Both need
Node.js, and the first run the package registry: where that is missing, tests are to be skipped.
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import trio
import trustme

SOURCE = Path(__file__).parent / "oidc_provider"
CALLBACK = "http://127.0.0.1/callback"


class NotInstalled(Exception):
    """The provider cannot be had here. The text says why; skip the test with it."""


def install() -> Path:
    """The directory of an installed provider. Raises NotInstalled."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise NotInstalled("Node.js and npm are not installed")
    version = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache / "kubetape-tests" / f"oidc-provider-{version}"
    if not (directory / "installed").exists():
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, directory)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode != 0:
            raise NotInstalled(f"npm ci failed: {done.stderr.strip()[-300:]}")
        (directory / "installed").touch()
    shutil.copy(SOURCE / "provider.mjs", directory)
    return directory


class Provider:
    """A running provider: log in to it as anybody, rotate its keys."""

    def __init__(self, process: trio.Process, issuer: str, ca_file: str) -> None:
        self.issuer, self.ca_file = issuer, ca_file
        self._process = process

    async def rotate(self) -> None:
        """Replace all signing keys; returns when the new ones are in use."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(b"rotate\n")
        await _read_line(self._process)

    async def id_token(
        self, user: str, *, client: str = "kubetape", scope: str = "openid groups email"
    ) -> bytes:
        """Log in with a browser's requests (authorization code and PKCE) and return the ID token."""
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        question = {
            "client_id": client, "response_type": "code", "redirect_uri": CALLBACK, "scope": scope,
            "code_challenge": challenge, "code_challenge_method": "S256", "nonce": secrets.token_urlsafe(8),
        }  # fmt: skip
        async with self._client() as browser:
            answer = await browser.get(f"{self.issuer}/auth", params=question)
            for form in ({"prompt": "login", "login": user, "password": "any"}, {"prompt": "consent"}):
                page = await self._follow(browser, answer)
                answer = await browser.post(str(page.url), data=form)
            landed = await self._follow(browser, answer)
            code = parse_qs(urlsplit(landed.headers["location"]).query)["code"][0]
            form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
            form |= {"client_id": client, "code_verifier": verifier}
            return await self._token(browser, form, "id_token")

    async def access_token(self) -> bytes:
        """A JWT access token (RFC 9068) of the agent, by client credentials."""
        form = {"grant_type": "client_credentials", "resource": "https://kubetape.test", "scope": "api"}
        form |= {"client_id": "agent-7", "client_secret": "agent-7-secret-agent-7-secret-agent-7"}
        async with self._client() as client:
            return await self._token(client, form, "access_token")

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(verify=ssl.create_default_context(cafile=self.ca_file), trust_env=False)

    async def _token(self, client: httpx2.AsyncClient, form: dict[str, str], which: str) -> bytes:
        secret = form.pop("client_secret", None)
        auth = (form["client_id"], secret) if secret else None
        answer = await client.post(f"{self.issuer}/token", data=form, auth=auth)
        assert answer.status_code == 200, answer.text
        return str(answer.json()[which]).encode()

    async def _follow(self, client: httpx2.AsyncClient, answer: httpx2.Response) -> httpx2.Response:
        """Follow redirects within the provider; stop at a page, or where it sends the browser home."""
        while answer.is_redirect and not answer.headers["location"].startswith(CALLBACK):
            answer = await client.get(urljoin(self.issuer, answer.headers["location"]))
        return answer


@asynccontextmanager
async def open_provider(directory: Path, scratch: Path) -> AsyncIterator[Provider]:
    """Run the provider installed in `directory`; keys and certificates go to `scratch`."""
    authority, ca_file = trustme.CA(), scratch / "provider-ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(scratch / "provider.pem"))
    certificate.private_key_pem.write_to_path(str(scratch / "provider.key"))
    environment = {"TLS_CERT": str(scratch / "provider.pem"), "TLS_KEY": str(scratch / "provider.key")}
    async with await trio.open_file(scratch / "provider.log", "wb") as log, trio.open_nursery() as nursery:
        run = partial(
            trio.run_process,
            ["node", "provider.mjs"],
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.fileno(),
            check=False,
        )
        process: trio.Process = await nursery.start(run)
        try:
            with trio.fail_after(30):
                issuer = json.loads(await _read_line(process))["issuer"]
            yield Provider(process, issuer, str(ca_file))
        finally:
            nursery.cancel_scope.cancel()


async def _read_line(process: trio.Process) -> bytes:
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        more = await process.stdout.receive_some(4096)
        if not more:
            raise AssertionError("the provider ended; see provider.log")
        line += more
    return line
