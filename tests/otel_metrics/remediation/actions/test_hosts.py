"""Which hosts and addresses may be called."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.remediation.actions.hosts import Endpoint, endpoint, hosts


def test_a_url_leads_to_a_host_and_a_port() -> None:
    """Names in lower case, ports by their schemes, addresses in one form."""
    assert [
        endpoint(url)
        for url in (
            "https://Hooks.Example",
            "http://hooks.example:8080/a?b=c",
            "https://[::FFFF:10.0.0.5]/",
            "https://[2001:db8::0:1]:1/",
        )
    ] == [
        Endpoint("https", "hooks.example", 443, "/"),
        Endpoint("http", "hooks.example", 8080, "/a?b=c"),
        Endpoint("https", "10.0.0.5", 443, "/"),
        Endpoint("https", "2001:db8::1", 1, "/"),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "https:///path",
        "https://user@hooks.example/",
        "https://hooks.example@evil.example/",
        "https://hooks.example\\@evil.example/",
        "https://hooks.example\r\nHost: evil/",
        "https://hooks.example/ HTTP/1.1",
        "https://hooks.example/\u00e9",
        "https://hooks.example/#fragment",
        "https://hooks.example/${target}",
        "https://${target}/",
        "https://hooks.example:",
        "https://hooks.example:0/",
        "https://hooks.example:99999/",
        "https://hooks.example:8o/",
        "https://hooks..example/",
        "https://-hooks.example/",
        "https://*.example/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://hooks.example/" + "a" * 2_000,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    """Nothing in it can lead elsewhere than it seems to."""
    with pytest.raises(ValueError, match=r".; ."):
        endpoint(url)


@given(text=st.text(max_size=40))
def test_a_url_is_read_or_refused(text: str) -> None:
    """Whatever it is, and what is read again is the same."""
    for url in (text, f"https://{text}", f"https://{text}:1/"):
        try:
            found = endpoint(url)
        except ValueError:
            continue
        host = f"[{found.host}]" if ":" in found.host else found.host
        assert endpoint(f"{found.scheme}://{host}:{found.port}{found.target}") == found


def test_only_what_is_listed_may_be_called() -> None:
    """Host, port and scheme are all of it."""
    allowed, wrong = hosts({0: "hooks.example", 1: "http://plain.example:8080"})

    assert wrong == {}
    assert {
        url: allowed.allows(endpoint(url))
        for url in (
            "https://hooks.example/any/path",
            "http://hooks.example/",
            "https://hooks.example:8443/",
            "https://sub.hooks.example/",
            "http://plain.example:8080/",
            "https://plain.example:8080/",
        )
    } == {
        "https://hooks.example/any/path": True,
        "http://hooks.example/": False,
        "https://hooks.example:8443/": False,
        "https://sub.hooks.example/": False,
        "http://plain.example:8080/": True,
        "https://plain.example:8080/": False,
    }


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.5",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.5",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:5",
        "64:ff9b:1::a00:5",
        "2002:a00:5::1",
        "2001:0:a00:5::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "fec0::1",
        "5f00::1",
        "4000::1",
    ],
)
def test_an_address_that_is_not_public_must_be_listed(address: str) -> None:
    """Of this machine, its networks, a cloud's metadata, or one that leads there."""
    given = ipaddress.ip_address(address)
    none, _ = hosts({0: "hooks.example"})
    listed, wrong = hosts({0: f"[{address}]:8443" if ":" in address else f"{address}:8443"})

    assert not none.allows_address(given, 8443)
    assert wrong == {}
    assert listed.allows_address(given, 8443)
    assert not listed.allows_address(given, 443)


def test_a_network_may_be_listed() -> None:
    """For services whose addresses change."""
    allowed, wrong = hosts({0: "10.96.0.0/12", 1: "fd00::/8"})

    assert wrong == {}
    for address, expected in (("10.97.0.1", True), ("10.0.0.1", False), ("fd12::1", True)):
        assert allowed.allows_address(ipaddress.ip_address(address), 443) is expected


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111"])
def test_a_public_address_is_allowed(address: str) -> None:
    """The name that leads there is what must be listed."""
    assert hosts({})[0].allows_address(ipaddress.ip_address(address), 443)


def test_what_is_wrong_in_a_list_is_told_by_its_index() -> None:
    """With a remedy."""
    _, wrong = hosts({0: "hooks.example", 1: "https://a.example/path", 2: "10.0.0.1/8", 3: "a b"})

    assert wrong == {
        1: "has a path; list the host, and write the path in the step's url",
        2: "10.0.0.1/8 has host bits set; write one as 10.0.0.0/8",
        3: "is no URL of printable ASCII; percent-encode what is not",
    }
