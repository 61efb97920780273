"""Providers of the core, as a configuration describes them."""

from typing import Any

from msgspec import UNSET

from ..protocols.auth import AwsKey, KeySource
from ..protocols.errors import closest_or_all
from ..protocols.provider import Provider
from ..protocols.registry import DIALECTS, PROVIDERS, dialect_named
from ..protocols.toolkit.http import names_secret
from .file import AwsEntry, ProviderEntry
from .references import References

__all__ = ["Upstream"]


class Upstream:
    """A service: its provider, its key, and the parameters of its base URL.

    `name` is that of its table, [providers.NAME]. Raises ConfigError.
    """

    def __init__(self, name: str, entry: ProviderEntry, references: References) -> None:
        self._where = f"providers.{name}"
        self._entry = entry
        self._references = references
        base = self._base(name)
        # For traces the name of a preset, whatever the operator calls it.
        known = base.otel_name or (base.name if base.name != name else "")
        self.provider = base.replace(name=name, otel_name=known, **self._changes())
        self.provider = self._with_texts(self.provider)
        self.key = self._key()
        self.params = self._params()

    def _base(self, name: str) -> Provider:
        entry, wrong = self._entry, self._references.wrong
        if entry.dialect:
            if entry.preset:
                raise wrong(self._where, "give `dialect` or `preset`, not both")
            if entry.dialect not in DIALECTS:
                hint = closest_or_all(entry.dialect, DIALECTS)
                raise wrong(f"{self._where}.dialect", f"unknown dialect `{entry.dialect}`{hint}")
            if entry.base_url is UNSET:
                raise wrong(self._where, "missing key `base_url`, the address of the service")
            dialect = dialect_named(entry.dialect)
            return Provider(
                name=name, dialect=dialect, base_url="", any_model=True, key_optional=True
            )
        preset = entry.preset or name
        if preset not in PROVIDERS:
            hint = closest_or_all(preset, PROVIDERS)
            raise wrong(
                self._where,
                f"there is no preset `{preset}`{hint}; of others give `dialect` and `base_url`",
            )
        return PROVIDERS[preset]

    def _changes(self) -> dict[str, Any]:
        """The fields that are simply those of `Provider`."""
        given = ((name, getattr(self._entry, name)) for name in ProviderEntry.__struct_fields__)
        return {name: value for name, value in given if name not in _OTHERS and value is not UNSET}

    def _with_texts(self, provider: Provider) -> Provider:
        entry, references, where = self._entry, self._references, self._where
        if entry.base_url is not UNSET:
            base_url = references.text(entry.base_url, f"{where}.base_url")
            provider = provider.replace(base_url=base_url)
        return provider.replace(
            headers={**provider.headers, **references.texts(entry.headers, f"{where}.headers")},
            query={**provider.query, **references.texts(entry.query, f"{where}.query")},
        )

    def _params(self) -> dict[str, str]:
        params = self._references.texts(self._entry.params, f"{self._where}.params")
        if isinstance(self.key, AwsKey) and self.key.region:
            params = {"region": self.key.region, **params}
        for name, variable in self.provider.params.items():
            if name not in params and f"{{{name}}}" in self.provider.base_url:
                example = f'`params.{name} = "env:{variable}"`'
                raise self._references.wrong(self._where, f"missing key `params`, as {example}")
        return params

    def _key(self) -> KeySource | None:
        text, where, key = self._references.text, f"{self._where}.key", self._entry.key
        if isinstance(key, AwsEntry):
            return AwsKey(
                text(key.id, f"{where}.id", secret=True),
                text(key.secret, f"{where}.secret", secret=True),
                text(key.token, f"{where}.token", secret=True),
                text(key.region, f"{where}.region"),
            )
        if key:
            return text(key, where, secret=True)
        provider = self.provider
        needed = provider.key_place is not None and not provider.key_optional
        if needed and not any(names_secret(each.lower().encode()) for each in provider.headers):
            example = f', as `key = "env:{provider.env[0]}"`' if provider.env else ""
            raise self._references.wrong(self._where, f"missing key `key`{example}")
        return None


_OTHERS = frozenset(("preset", "dialect", "key", "base_url", "params", "headers", "query"))
"""Fields of the table that are not simply those of a `Provider`."""
