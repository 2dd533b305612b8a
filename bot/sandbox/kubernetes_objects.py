"""
The stand-in cluster's objects other than pods: namespaces, service accounts, tokens, roles, config maps.

Only what csm's own deployment and tests need, with an API server's rules: names are unique, an object's namespace
must exist, deleting a namespace deletes all objects in it, and an account may do what the roles bound to it allow
(kubernetes: staging/src/k8s.io/api/rbac/v1/types.go).
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

NAMESPACED = ("configmaps", "daemonsets", "serviceaccounts", "roles", "rolebindings")
_WORDS = {
    "namespaces": "Namespace",
    "configmaps": "ConfigMap",
    "daemonsets": "DaemonSet",
    "serviceaccounts": "ServiceAccount",
    "roles": "Role",
    "rolebindings": "RoleBinding",
}
_GROUPS = {"daemonsets": "apps"}
"""The API group of a kind; empty for all others, as far as rules need it."""


class Conflict(Exception):
    """409: an object of that name exists."""


class Missing(Exception):
    """404: no object of that name, or no such namespace. The message is the API's."""


@dataclass(frozen=True)
class ServiceAccount:
    """A service account."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """The name in RBAC's error messages."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


class Objects:
    """All objects other than pods, by kind, namespace (empty for namespaces themselves) and name."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._tokens: dict[str, ServiceAccount] = {}

    def create(self, kind: str, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Store an object, and return it as the API does. Raises `Conflict` and `Missing`."""
        self.check_namespace(namespace)
        name = str(manifest["metadata"]["name"])
        if (kind, namespace, name) in self._objects:
            raise Conflict(f'{kind} "{name}" already exists')
        made = {"kind": _WORDS[kind], **manifest, "metadata": made_metadata(manifest["metadata"], namespace)}
        self._objects[kind, namespace, name] = made
        return made

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """Return one object. Raises `Missing`."""
        try:
            return self._objects[kind, namespace, name]
        except KeyError:
            raise Missing(f'{kind} "{name}" not found') from None

    def list(self, kind: str, namespace: str) -> dict[str, Any]:
        """Return all objects of a kind in a namespace, as the API lists them."""
        items = [each for (of, within, _), each in self._objects.items() if (of, within) == (kind, namespace)]
        return {"kind": f"{_WORDS[kind]}List", "metadata": {"resourceVersion": "1"}, "items": items}

    def delete(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """Delete an object; for a namespace, also all objects and tokens in it. Raises `Missing`."""
        gone = self.get(kind, namespace, name)
        within = name if kind == "namespaces" else None
        self._objects = {
            key: each for key, each in self._objects.items() if each is not gone and (not within or key[1] != within)
        }
        self._tokens = {token: account for token, account in self._tokens.items() if account.namespace != within}
        return gone

    def check_namespace(self, namespace: str) -> None:
        """Raise `Missing` when the namespace does not exist."""
        if namespace:
            self.get("namespaces", "", namespace)

    def token(self, namespace: str, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Issue a token for an account, and return the answer of the subresource `token`. Raises `Missing`."""
        self.get("serviceaccounts", namespace, name)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = ServiceAccount(namespace, name)
        seconds = int((request.get("spec") or {}).get("expirationSeconds") or 3600)
        expires = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"audiences": [], **(request.get("spec") or {})},
            "status": {"token": token, "expirationTimestamp": expires},
        }

    def account(self, token: str) -> ServiceAccount | None:
        """The account of a token; `None` for an unknown token."""
        return self._tokens.get(token)

    def allows(self, account: ServiceAccount, verb: str, resource: str, namespace: str, name: str = "") -> bool:
        """Whether a role bound to the account in this namespace allows the verb on the resource."""
        return any(
            {verb, "*"} & set(rule.get("verbs") or ())
            and {resource, "*"} & set(rule.get("resources") or ())
            and {_GROUPS.get(resource, ""), "*"} & set(rule.get("apiGroups") or ())
            and name in (rule.get("resourceNames") or (name,))
            for rule in self._rules(account, namespace)
        )

    def _rules(self, account: ServiceAccount, namespace: str) -> Iterator[Mapping[str, Any]]:
        subject = {"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}
        for (kind, within, _), binding in self._objects.items():
            if kind != "rolebindings" or within != namespace:
                continue
            role = self._objects.get(("roles", namespace, binding["roleRef"]["name"]))
            subjects = [{key: each.get(key) for key in subject} for each in binding.get("subjects") or ()]
            if role is not None and subject in subjects:
                yield from role.get("rules") or ()


def made_metadata(metadata: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Metadata with what the API server adds."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    within = {"namespace": namespace} if namespace else {}
    return {**metadata, **within, "uid": str(uuid.uuid4()), "creationTimestamp": stamp, "resourceVersion": "1"}
