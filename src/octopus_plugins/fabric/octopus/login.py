"""Who somebody is: the login with Globus Auth, for a person or for a service account.

A person logs in once, with the native app of the Diaspora SDK and refresh tokens. A service account is a confidential
client, named by ``DIASPORA_SDK_CLIENT_ID`` and ``DIASPORA_SDK_CLIENT_SECRET`` as in the SDK. Client id, scope and
resource server are the SDK's, so that whoever has consented to it has consented to this.

The SDK's own ``get_globus_app`` is not used: it keeps its tokens in a database below ``~/.diaspora`` and, where a
token is missing, asks for a login on the terminal in the middle of a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from octopus_plugins.config import OctopusConfig, key_file
from octopus_plugins.errors import ConfigError, CredentialsError, MissingDependencyError, ServiceError
from octopus_plugins.fabric.octopus.secret_files import read_secret, write_secret

if TYPE_CHECKING:
    from globus_sdk import GlobusApp
    from globus_sdk.authorizers import RenewingAuthorizer
    from globus_sdk.token_storage import TokenStorage

_AUTH = "auth.globus.org"
_RETRIES = 2


def nobody(more: str = "") -> CredentialsError:
    """The error for want of a login."""
    return CredentialsError(
        f"nobody is logged in to the Octopus service{more}", remedy="log in with `octopus login`", code="login_missing"
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is logged in.

    Attributes:
        subject: The Globus subject, a UUID.
        username: Such as ``alice@example.org``.
    """

    subject: str
    username: str

    @property
    def namespace(self) -> str:
        """The namespace on the service, which follows from the subject."""
        return f"ns-{uuid.UUID(self.subject).hex[-12:]}"


class GlobusLogin:
    """A login with Globus Auth, as it is kept in the credentials directory."""

    def __init__(self, config: OctopusConfig, *, browser: bool = True) -> None:
        """Prepare; asks nobody yet.

        Args:
            config: Where the tokens are kept, and how long Globus Auth may take.
            browser: Whether a login may open a browser on this machine; else it shows a link and asks for a code.

        Raises:
            MissingDependencyError: ``globus-sdk`` or ``diaspora-event-sdk`` is not installed.
            ConfigError: ``DIASPORA_SDK_CLIENT_SECRET`` is set without ``DIASPORA_SDK_CLIENT_ID``.
        """
        with octopus_extra():
            import diaspora_event_sdk
            from diaspora_event_sdk.sdk import web_client

        self._config = config
        self._browser = browser
        client_id, self._secret = _client_credentials()
        self._client_id: str = client_id or diaspora_event_sdk.DEFAULT_CLIENT_ID
        self._service: str = web_client.DIASPORA_RESOURCE_SERVER
        self._scopes: dict[str, list[str]] = {
            self._service: [web_client.DIASPORA_SCOPE],
            # `profile` adds the user name, so that people see whose account it is.
            _AUTH: ["openid", "profile"],
        }
        self._app: GlobusApp | None = None

    def log_in(self) -> Identity:
        """Log in, unless there are tokens already, and say who it is.

        Raises:
            CredentialsError: The login failed or was given up.
            ServiceError: Globus Auth does not answer.
        """
        with self.errors_explained():
            app = self._application()
            # Asked of a service account, whether a login is needed would get it a token for one server at a time.
            if self._secret or app.login_required():
                app.login(force=True)
        try:
            return self.identity()
        except CredentialsError:
            # Tokens that were revoked look as good as any until they are used.
            with self.errors_explained():
                app.login(force=True)
            return self.identity()

    def identity(self) -> Identity:
        """Ask Globus Auth who is logged in.

        Raises:
            CredentialsError: Nobody is, or the login has ended.
            ServiceError: Globus Auth does not answer.
        """
        with self.errors_explained():
            from globus_sdk import AuthClient

            client = AuthClient(authorizer=self._authorizer(_AUTH), **_bounded(self._config))
            told = client.userinfo()
            subject = str(told["sub"])
            uuid.UUID(subject)
        return Identity(subject, str(told.get("preferred_username") or subject))

    def authorizer(self) -> RenewingAuthorizer[Any]:
        """What signs requests to the web service, and renews its token.

        Raises:
            CredentialsError: Nobody is logged in.
            ServiceError: Globus Auth does not answer.
        """
        with self.errors_explained():
            return self._authorizer(self._service)

    def log_out(self) -> bool:
        """Revoke the tokens and remove them.

        Returns:
            Whether there were any.

        Raises:
            ServiceError: Globus Auth does not answer; the tokens are still there.
        """
        with self.errors_explained():
            had_tokens = self._has_tokens()
            self._application().logout(sweep=True)
        self._file.unlink(missing_ok=True)
        return had_tokens

    @property
    def _file(self) -> Any:
        return key_file(self._config.credentials_dir, self._config.environment).with_name("tokens.json")

    def _has_tokens(self) -> bool:
        return bool(self._application().token_storage.token_storage.get_token_data_by_resource_server())

    def _authorizer(self, resource_server: str) -> RenewingAuthorizer[Any]:
        app = self._application()
        if not self._secret:
            found: Any = app.get_authorizer(resource_server)
            return found  # type: ignore[no-any-return]
        # Globus Auth may answer a client with tokens for other servers too, at which globus-sdk's own authorizer gives
        # up. The SDK has one that takes its own out of the answer.
        import globus_sdk
        from diaspora_event_sdk.sdk.client import FilteredClientCredentialsAuthorizer

        kept = app.token_storage.token_storage.get_token_data(resource_server)
        authorizer: RenewingAuthorizer[Any] = FilteredClientCredentialsAuthorizer(
            globus_sdk.ConfidentialAppAuthClient(self._client_id, self._secret, **_bounded(self._config)),
            self._scopes[resource_server],
            resource_server=resource_server,
            access_token=kept.access_token if kept else None,
            expires_at=kept.expires_at_seconds if kept else None,
            on_refresh=app.token_storage.store_token_response,
        )
        return authorizer

    def _application(self) -> GlobusApp:
        if self._app is None:
            import globus_sdk

            kind = f"client/{self._client_id}" if self._secret else "user"
            settings: dict[str, Any] = {
                "token_storage": _token_storage(self._file, kind),
                "request_refresh_tokens": True,
                "token_validation_error_handler": None,  # a login is asked for by name, never on the way
            }
            if self._secret:
                self._app = globus_sdk.ClientApp(
                    "octopus-plugins",
                    login_client=globus_sdk.ConfidentialAppAuthClient(
                        self._client_id, self._secret, **_bounded(self._config)
                    ),
                    scope_requirements=self._scopes,
                    config=globus_sdk.GlobusAppConfig(**settings),
                )
            else:
                self._app = globus_sdk.UserApp(
                    "octopus-plugins",
                    login_client=globus_sdk.NativeAppAuthClient(self._client_id, **_bounded(self._config)),
                    scope_requirements=self._scopes,
                    config=globus_sdk.GlobusAppConfig(
                        **settings, login_flow_manager=_login_flow(self._browser), login_redirect_uri=None
                    ),
                )
        return self._app

    @contextlib.contextmanager
    def errors_explained(self) -> Iterator[None]:
        """Turn what globus-sdk raises into what is wrong and what to do."""
        import globus_sdk
        from globus_sdk.login_flows import CommandLineLoginFlowEOFError
        from globus_sdk.token_storage import TokenValidationError
        from globus_sdk.token_storage.validating_token_storage import IdentityMismatchError

        try:
            yield
        except IdentityMismatchError as error:
            raise CredentialsError(
                f"this login is of another identity ({error.new_id}) than the one kept here ({error.stored_id})",
                remedy="`octopus logout` first, or set OCTOPUS_CREDENTIALS_DIR to another directory for it",
            ) from error
        except TokenValidationError as error:
            raise nobody() from error
        except CommandLineLoginFlowEOFError as error:
            raise CredentialsError(
                "no code was given", remedy="run `octopus login` in a terminal and paste it there"
            ) from error
        except globus_sdk.GlobusAPIError as error:
            if error.http_status >= 500:
                raise ServiceError(
                    f"Globus Auth failed ({error.http_status})", remedy="try again in a minute"
                ) from error
            remedy = (
                "check DIASPORA_SDK_CLIENT_ID and DIASPORA_SDK_CLIENT_SECRET"
                if self._secret
                else "the login has ended or was revoked: log in again with `octopus login`"
            )
            reason = error.message or error.code or error.http_status
            code = "login_client_refused" if self._secret else None
            raise CredentialsError(f"Globus Auth refused ({reason})", remedy=remedy, code=code) from error
        except globus_sdk.NetworkError as error:
            raise ServiceError(
                f"Globus Auth does not answer ({type(error.underlying_exception).__name__})",
                remedy="check the network (`octopus doctor` looks at each step), then try again",
            ) from error
        except (KeyError, ValueError, globus_sdk.GlobusError) as error:
            raise CredentialsError(
                f"the login did not work: {error}", remedy="try `octopus logout`, then `octopus login`"
            ) from error


@contextlib.contextmanager
def octopus_extra() -> Iterator[None]:
    """Say which extra brings what cannot be imported.

    Raises:
        MissingDependencyError: In place of an ImportError.
    """
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError(
            f"the Octopus service needs the package {error.name or error}",
            remedy="install it with `pip install 'octopus-plugins[octopus]'`",
        ) from error


def _client_credentials() -> tuple[str | None, str | None]:
    client_id = os.environ.get("DIASPORA_SDK_CLIENT_ID") or None
    secret = os.environ.get("DIASPORA_SDK_CLIENT_SECRET") or None
    if secret and not client_id:
        raise ConfigError(
            "DIASPORA_SDK_CLIENT_SECRET is set without DIASPORA_SDK_CLIENT_ID",
            remedy="set both for a service account, or neither",
        )
    return client_id, secret


def _bounded(config: OctopusConfig) -> dict[str, Any]:
    """Transport and retries that end within about three times the time allowed."""
    from globus_sdk.transport import RequestsTransport, RetryConfig

    return {
        "transport": RequestsTransport(http_timeout=config.service_timeout),
        "retry_config": RetryConfig(max_retries=_RETRIES, max_sleep=2),
    }


def _login_flow(browser: bool) -> Any:
    """The login flow: through a browser on this machine where there is one, else by link and code."""
    from globus_sdk.login_flows import CommandLineLoginFlowManager, LocalServerLoginFlowManager
    from globus_sdk.login_flows.local_server_login_flow_manager import LocalServerEnvironmentalLoginError

    class BrowserOrCode(LocalServerLoginFlowManager):
        @contextlib.contextmanager
        def background_local_server(self) -> Any:
            with super().background_local_server() as server:
                # As it is, it prints each request, and with it the code.
                quiet = {"log_message": lambda *_: None}
                handler: Any = server.RequestHandlerClass
                server.RequestHandlerClass = type("QuietHandler", (handler,), quiet)
                yield server

        def run_login_flow(self, auth_parameters: Any) -> Any:
            try:
                return super().run_login_flow(auth_parameters)
            except LocalServerEnvironmentalLoginError:  # over ssh, or no browser that works
                by_code = CommandLineLoginFlowManager(self.login_client, request_refresh_tokens=True)
                return by_code.run_login_flow(auth_parameters)

    return BrowserOrCode if browser else CommandLineLoginFlowManager


def _token_storage(path: Any, namespace: str) -> TokenStorage:
    """Tokens in a file of mode 0600.

    globus-sdk's own JSON storage truncates the file and then writes: several processes that renew a token at once could
    leave half of it. It also takes the modes of a file that is there as they are.
    """
    from globus_sdk.token_storage import TokenStorage, TokenStorageData

    class SecretTokenStorage(TokenStorage):
        def store_token_data_by_resource_server(
            self, token_data_by_resource_server: Mapping[str, TokenStorageData]
        ) -> None:
            kept = self._load()
            ours = kept.setdefault(self.namespace, {})
            ours.update({name: data.to_dict() for name, data in token_data_by_resource_server.items()})
            write_secret(path, json.dumps(kept).encode())

        def get_token_data_by_resource_server(self) -> dict[str, TokenStorageData]:
            ours = self._load().get(self.namespace, {})
            return {name: TokenStorageData.from_dict(data) for name, data in ours.items()}

        def remove_token_data(self, resource_server: str) -> bool:
            kept = self._load()
            removed = kept.get(self.namespace, {}).pop(resource_server, None)
            write_secret(path, json.dumps(kept).encode())
            return removed is not None

        @staticmethod
        def _load() -> dict[str, dict[str, Any]]:
            try:
                kept = json.loads(read_secret(path))
            except FileNotFoundError:
                return {}
            except ValueError:
                kept = None
            if not isinstance(kept, dict):
                raise CredentialsError(
                    f"{path} is damaged", remedy="remove it and `octopus login` again", code="login_damaged"
                )
            return kept

    return SecretTokenStorage(namespace)
