"""Where an Agent sends its flares: which setting counts, whose host it is, and that nothing unclear is called Datadog's."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.agent.flare_destination import DOMAINS, DUMP, ENVIRONMENT, FILE, Destination, read_destination, site_of
from handlers.version import AgentVersion

VERSION = AgentVersion(7, 70, 1)
OURS = "7-70-1-flare.agent."


def of(*, dump: str | None = None, env: str | None = None, file: str | None = None) -> Destination:
    texts = {DUMP: dump, ENVIRONMENT: env, FILE: file}
    return read_destination({name: [text] for name, text in texts.items() if text is not None}, VERSION)


@pytest.mark.parametrize(
    ("dump", "env", "file", "host", "source"),
    [
        # datadog.md §1.5a: `dd_url` wins over `site`, in whatever order they stand.
        ("site: datadoghq.eu\ndd_url: https://a.example\n", None, None, "a.example", f"dd_url in {DUMP}"),
        ("dd_url: https://a.example\nsite: datadoghq.eu\n", None, None, "a.example", f"dd_url in {DUMP}"),
        # The dump is the merged result, so it counts before the two that it was merged from.
        ("site: datadoghq.eu\n", "DD_SITE=us3.datadoghq.com", "site: ap1.datadoghq.com\n", f"{OURS}datadoghq.eu", f"site in {DUMP}"),
        ("dd_url: https://a.example\n", "DD_DD_URL=https://b.example", "dd_url: https://c.example\n", "a.example", f"dd_url in {DUMP}"),
        # Where it lacks a key, the environment's counts before the file's, and any `dd_url` before any `site`.
        ("x: 1\n", " -  DD_URL=https://b.example", "dd_url: https://c.example\n", "b.example", f"dd_url in {ENVIRONMENT}"),
        ("site: datadoghq.eu\n", " -  DD_URL=https://b.example", None, "b.example", f"dd_url in {ENVIRONMENT}"),
        ("x: 1\n", None, "site: ap2.datadoghq.com\n", f"{OURS}ap2.datadoghq.com", f"site in {FILE}"),
        # A key without a value is not set.
        ("site: datadoghq.eu\ndd_url: ''\n", None, "dd_url: https://c.example\n", f"{OURS}datadoghq.eu", f"site in {DUMP}"),
        # Environment over file.
        (None, " -  DD_SITE=us3.datadoghq.com\n", "site: datadoghq.eu\n", f"{OURS}us3.datadoghq.com", f"site in {ENVIRONMENT}"),
        (None, "DD_SITE=us3.datadoghq.com\n", "dd_url: https://c.example\n", "c.example", f"dd_url in {FILE}"),
        (None, "DD_URL=https://b.example\nDD_DD_URL=https://a.example\n", "x: 1\n", "a.example", f"dd_url in {ENVIRONMENT}"),
        (None, None, "site: uk1.datadoghq.com\n", f"{OURS}uk1.datadoghq.com", f"site in {FILE}"),
    ],
)  # fmt: skip
def test_the_setting_that_counts(dump: str | None, env: str | None, file: str | None, host: str, source: str) -> None:
    found = of(dump=dump, env=env, file=file)
    assert (found.host, found.source) == (host, source)


def test_without_any_setting_it_is_the_agents_default_if_the_dump_is_there() -> None:
    found = of(
        dump="site: ''\ndd_url: \"\"\nlogs_config:\n  dd_url: https://x.example\n", env="Found no allowed envvar\n"
    )
    assert (found.site, found.host) == ("datadoghq.com", f"{OURS}datadoghq.com")
    assert found.source.startswith("the Agent's default")


@pytest.mark.parametrize(
    ("url", "host", "site"),
    [
        ("https://app.datadoghq.com", f"{OURS}datadoghq.com", "datadoghq.com"),
        ("https://app.datadoghq.com/", f"{OURS}datadoghq.com", "datadoghq.com"),
        ("https://app.datadoghq.com.", f"{OURS}datadoghq.com", "datadoghq.com"),
        ("https://app.mrf.us3.datadoghq.com", f"{OURS}mrf.us3.datadoghq.com", "us3.datadoghq.com"),
        ("https://app.us2.ddog-gov.com", f"{OURS}us2.ddog-gov.com", "us2.ddog-gov.com"),
        # Used as they are: capitals, a port, another name.
        ("https://APP.DATADOGHQ.COM", "app.datadoghq.com", "datadoghq.com"),
        ("https://app.datadoghq.com:443", "app.datadoghq.com:443", "datadoghq.com"),
        ("https://flares.us5.datadoghq.com", "flares.us5.datadoghq.com", "us5.datadoghq.com"),
        ("https://csm:********@app.datadoghq.eu", f"{OURS}datadoghq.eu", "datadoghq.eu"),
        # None of Datadog's.
        ("https://app.datadoghq.com.evil.example", "app.datadoghq.com.evil.example", ""),
        ("https://datadoghq.com.evil", "datadoghq.com.evil", ""),
        ("https://evildatadoghq.com", "evildatadoghq.com", ""),
        ("https://app-datadoghq.com", "app-datadoghq.com", ""),
        ("https://app.datad0g.com", "app.datad0g.com", ""),
        ("https://xn--dtadoghq-16g.com", "xn--dtadoghq-16g.com", ""),
        ("https://d\u0430tadoghq.com", "xn--dtadoghq-16g.com", ""),
        ("https://app.datadoghq.com@evil.example", "evil.example", ""),
        ("https://app.datadoghq.com:443@evil.example:8443/app.datadoghq.com", "evil.example:8443", ""),
        ("https://evil.example/?x=app.datadoghq.com", "evil.example", ""),
        ("https://evil.example#.datadoghq.com", "evil.example", ""),
        ("http://localhost:9804", "localhost:9804", ""),
        ("https://[2001:DB8::1]:8080/x", "[2001:db8::1]:8080", ""),
        ("https://10.0.0.1", "10.0.0.1", ""),
    ],
)  # fmt: skip
def test_whose_host_an_address_is(url: str, host: str, site: str) -> None:
    found = of(dump=f"dd_url: {url}\n")
    assert (found.host, found.site) == (host, site)


@pytest.mark.parametrize(
    "url",
    [
        "app.datadoghq.com",
        "//app.datadoghq.com",
        "ftp://app.datadoghq.com",
        "https://",
        "https://app.datadoghq.com\\@evil.example",
        "https://app.datadoghq.com%2eevil.example",
        "https://app.datadoghq.com evil.example",
        "https://app..datadoghq.com",
        "https://app.datadoghq.com:https",
        "https://data\u200ddoghq.com",
        "https://app.\uff44atadoghq.com",
        "https://[::1",
        "https://[app.datadoghq.com]",
        "https://-evil.example",
        "ENC[dd_url]",
    ],
)
def test_an_address_that_could_be_read_in_two_ways_is_not_read(url: str) -> None:
    found = of(dump=f"dd_url: '{url}'\nsite: datadoghq.com\n")
    assert (found.host, found.site) == ("", "")
    assert "csm can" in found.source


@pytest.mark.parametrize(
    "site", ["evil.example", "datadoghq.com.evil.example", "x@evil.example", "evil.example/#.datadoghq.com"]
)
def test_a_site_is_put_behind_app_as_the_agent_does(site: str) -> None:
    found = of(dump=f"site: '{site}'\n")
    assert found.host.endswith("evil.example")
    assert not found.site


@pytest.mark.parametrize(
    "line",
    [
        "site: datadoghq.eu\r",
        "site: datadoghq.eu # the European one",
        "site: datadoghq.eu\t# the European one",
        'site: "datadoghq.eu"   # x',
        "site: 'datadoghq.eu'",
        '"site" : datadoghq.eu',
        "SITE: datadoghq.eu",
        "\ufeffsite: datadoghq.eu",
        "---\nsite: datadoghq.eu\n...",
        "# site: evil.example\nsite: datadoghq.eu\n#dd_url: https://evil.example",
        "api_key: x\rsite: datadoghq.eu\r",
        "site: datadoghq.eu\nsite: datadoghq.eu",
        "site: datadoghq.eu\ndd_url: # none",
        "site: datadoghq.eu\ndd_url: ~",
        "tags:\n- site: evil.example\nsite: datadoghq.eu\nother:\n  dd_url: https://evil.example",
        "password: ********\nsite: datadoghq.eu",
    ],
)
def test_yaml_is_read_as_the_agent_reads_it(line: str) -> None:
    assert of(dump=f"{line}\n").site == "datadoghq.eu"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "{site: datadoghq.eu}\n",
        "  site: datadoghq.eu\n",
        "site:\n  datadoghq.eu\n",
        "site: datadoghq.eu\n  .evil.example\n",
        "site: |\n  datadoghq.eu\n",
        "site: >-\n  datadoghq.eu\n",
        "site: &anchor datadoghq.eu\n",
        "site: *anchor\n",
        "site: !!str datadoghq.eu\n",
        "site: [datadoghq.eu]\n",
        'site: "datadoghq\\x2eeu"\n',
        "site: 'it''s'\n",
        "site: 'datadoghq.eu\n",
        "site: 'datadoghq.eu' x\n",
        "site: datadoghq.eu\nsite: datadoghq.com\n",
        "site: datadoghq.eu\nSite: datadoghq.com\n",
    ],
)
def test_yaml_that_takes_more_to_read_is_not_guessed_at(text: str) -> None:
    found = of(dump=text, file="site: datadoghq.com\n")
    assert (found.host, found.site) == ("", "")
    assert found.source.startswith(f"{DUMP} ")


def test_what_cannot_be_known_says_why_and_names_no_host() -> None:
    assert of().source == f"the archive has neither {DUMP} nor {FILE}"
    assert "nothing else in it names a site" in of(file="x: 1\n", env="Found no allowed envvar\n").source
    assert read_destination({DUMP: [None]}, VERSION).source == f"{DUMP} cannot be unpacked, or is too large"
    two = read_destination({DUMP: ["site: a.example\n", "site: b.example\n"]}, VERSION)
    assert two.source == f"{DUMP} is there more than once, and they differ"


def test_what_makes_it_less_certain_is_a_warning() -> None:
    (without_dump,) = of(file="site: datadoghq.eu\n").warnings
    assert "DD_DD_URL" in without_dump
    (another,) = of(dump="site: datadoghq.eu\ndd_url: ''\n", file="dd_url: https://evil.example\n").warnings
    assert "evil.example" in another
    (unreadable,) = of(dump="site: datadoghq.eu\ndd_url: ''\n", file="dd_url: evil.example\n").warnings
    assert "cannot read" in unreadable
    (unencrypted,) = of(dump="dd_url: http://app.datadoghq.com\n").warnings
    assert "unencrypted" in unencrypted
    assert not of(dump="site: datadoghq.eu\n", file="site: datadoghq.eu\n").warnings


def test_an_unknown_version_is_said_to_be_unknown() -> None:
    assert read_destination({DUMP: ["site: datadoghq.eu\n"]}, None).host == "<version>-flare.agent.datadoghq.eu"


def test_a_password_in_an_unreadable_address_is_not_repeated() -> None:
    assert "hunter2" not in of(dump="dd_url: 'https://csm:hunter2@a b'\n").source


TEXT = st.lists(
    st.sampled_from(["site", "dd_url", ":", " ", "\n", "\r\n", "#", "'", '"', "https://", "app.", "datadoghq.com", "evil.example", "@", "/", "|", "- ", "\t", "\\", "."])
    | st.text(max_size=3),
    max_size=40,
).map("".join)  # fmt: skip


@settings(deadline=None)  # other processes may have the processor
@given(TEXT, TEXT, TEXT)
def test_whatever_the_files_say_a_host_with_a_site_is_below_a_domain_of_datadogs(
    dump: str, env: str, file: str
) -> None:
    found = of(dump=dump, env=env, file=file)
    host = found.host.rpartition(":")[0] or found.host
    assert bool(found.site) is any(host == domain or host.endswith(f".{domain}") for domain in DOMAINS)
    assert found.source
    assert found.host.isascii()
    assert not found.site or site_of(host) == found.site


@pytest.mark.parametrize("text", ["site", " ", "site: '", "a:\n", "#", "\r", "dd_url: https://", "x: 1\n  ", "["])
def test_reading_costs_no_more_than_the_length(text: str) -> None:
    began = time.process_time()
    of(dump=text * (4 * 1024**2 // len(text)))
    assert time.process_time() - began < 20, "far more than linear reading takes"
