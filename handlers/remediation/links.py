"""URLs: documentation, and the Log Explorer of a Datadog site."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode

_DOCS = "https://docs.datadoghq.com"
TROUBLESHOOTING = f"{_DOCS}/security/workload_protection/troubleshooting/threats/"
SETUP = f"{_DOCS}/security/workload_protection/setup/agent/"
ADVANCED = f"{_DOCS}/security/workload_protection/setup/advanced_configuration/"
SEND_A_FLARE = f"{_DOCS}/agent/troubleshooting/send_a_flare/"
NETWORK = f"{_DOCS}/agent/configuration/network/"
PROXY = f"{_DOCS}/agent/configuration/proxy/"
SITES = f"{_DOCS}/getting_started/site/"
AGENT_TROUBLESHOOTING = f"{_DOCS}/agent/troubleshooting/"
KUBERNETES_RBAC = "https://kubernetes.io/docs/reference/access-authn-authz/rbac/"

MOST_HOSTS = 20
"""With more hosts than this, the URL would be too long; the query then names none."""


def events_url(site: str, hosts: Sequence[str], started: datetime) -> str:
    """
    URL of the self-test's events in the Log Explorer: the Agent reports them with the rule id `self_test`.

    Source of the id: DataDog/datadog-agent:pkg/security/events/custom.go. `site` is a Datadog site such as
    `datadoghq.eu`; times in the URL are milliseconds.
    """
    query = "@agent.rule_id:self_test"
    if 0 < len(hosts) <= MOST_HOSTS:
        query += f" host:({' OR '.join(sorted(set(hosts)))})"
    begin, end = started - timedelta(minutes=65), started + timedelta(minutes=15)
    times = {"from_ts": int(begin.timestamp() * 1000), "to_ts": int(end.timestamp() * 1000)}
    # us3, us5 and ap1 are sites with a host name of their own; the two oldest and gov have `app.` before them.
    host = f"app.{site}" if site.count(".") == 1 else site
    return f"https://{host}/logs?{urlencode({'query': query, **times})}"
