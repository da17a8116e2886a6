# SPDX-License-Identifier: Apache-2.0
"""Whoever reaches the operator's port is hostile until its token says which pod it is, and then it may still be."""

import time

import channel
import host
import processes
import pytest
import websocket
from channel import Crowd, Door, close_code, greet, hello, metrics, token_of, token_of_account
from processes import SidecarProcesses
from shop import STANDBY

CROWD = 1000
GROWTH_MAX = 64 << 20  # of the operator's memory, whatever strangers do
PODS = """
apiVersion: v1
kind: ServiceAccount
metadata: {{name: someone}}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {labels}}}
spec:
  serviceAccountName: someone
  terminationGracePeriodSeconds: 0
  containers: [{{name: idle, image: "postgres:15", command: [sleep, infinity]}}]
"""


def make_pod(namespace, name: str, labels: str = "{}") -> dict:
    """Not a database: a pod in which somebody else's program runs."""
    namespace.apply(PODS.format(name=name, labels=labels))
    namespace.wait_until_ready(name)
    return namespace.get("Pod", name)


@pytest.fixture(scope="module", autouse=True)
def reachable(machinery) -> None:
    """The addresses of pods are."""


@pytest.fixture
def door(installation) -> Door:
    return Door(installation, installation.wait_until_ready())


@pytest.fixture(scope="module")
def neighbour(other_namespace) -> dict:
    """A pod of another team, without any policy."""
    return make_pod(other_namespace, "neighbour")


@pytest.fixture(scope="module")
def member(other_namespace) -> dict:
    """A pod with the label of a policy, in which something bad runs."""
    return make_pod(other_namespace, "member", "{lifeboat.dev/policy: other}")


def test_only_a_token_of_a_member_for_our_audience_opens_the_channel(machinery, other_namespace, neighbour, member,
                                                                     door, reader):
    name = other_namespace.name
    good = token_of(other_namespace, "member")
    gone = make_pod(other_namespace, "gone", "{lifeboat.dev/policy: other}")
    of_gone = token_of(other_namespace, "gone")
    other_namespace.delete("Pod", "gone")
    key = machinery.credentials.service_account_key
    now = int(time.time())
    tokens = {
        "none": (None, 4401),
        "garbage": ("garbage", 4401),
        "of nobody": (f"{good[:-4]}AAAA", 4401),
        "for the API server": (token_of(other_namespace, "member", "https://kubernetes.default.svc"), 4401),
        "expired": (channel.sign_again(good, key, iat=now - 7200, nbf=now - 7200, exp=now - 3600), 4401),
        "of a pod that is gone": (of_gone, 4401),
        "of no pod": (token_of_account(other_namespace, "someone"), 4403),
        "of a pod without a policy": (token_of(other_namespace, "neighbour"), 4403),
        "of a member": (good, 1002),  # it says no hello
        "signed again": (channel.sign_again(good, key), 1002),
    }
    before = metrics(door.get("/metrics", reader)[1])
    assert {what: door.refusal(token) for what, (token, _) in tokens.items()} \
        == {what: code for what, (_, code) in tokens.items()}, f"in {name}, {gone['metadata']['uid']} is gone"
    after = metrics(door.get("/metrics", reader)[1])
    for code in (1002, 4401, 4403):
        closed = f'lifeboat_channel_closed_total{{code="{code}"}}'
        expected = sum(1 for _, wanted in tokens.values() if wanted == code)
        assert after[closed] - before.get(closed, 0) >= expected


def test_a_member_speaks_for_itself_only_and_in_small_messages(other_namespace, protection, member, door):
    token = token_of(other_namespace, "member")
    victim = protection.namespace.get("Pod", STANDBY)
    stolen = {"metadata": {"namespace": victim["metadata"]["namespace"], "name": "member",
                           "uid": member["metadata"]["uid"]}}
    assert door.refusal(token, hello(victim)) == 4403
    assert door.refusal(token, hello(stolen)) == 4403
    assert door.refusal(token, '{"version": 1, "type": "state"}') == 1002
    assert door.refusal(token, '{"version": 2, "type": "hello"}') == 1002
    assert door.refusal(token, "hello") == 1002
    assert door.refusal(token, hello(member).encode()) == 1003
    assert door.refusal(token, hello(member) + " " * 4096) == 1009
    assert protection.pod_status(STANDBY)["connected"]


def test_a_newer_connection_of_a_pod_replaces_the_one_before(other_namespace, member, door):
    token = token_of(other_namespace, "member")
    with door.opened(token) as first:
        greet(first, member)
        with door.opened(token) as second:
            greet(second, member)
            assert close_code(first) == 4003
            other_namespace.kubectl("label", "pod", "member", "lifeboat.dev/policy-")
            assert close_code(second) == 4403
            other_namespace.kubectl("label", "pod", "member", "lifeboat.dev/policy=other")


def test_a_follower_sends_everybody_away(installation, other_namespace, member):
    token = token_of(other_namespace, "member")
    for name in installation.followers():
        assert Door(installation, name).refusal(token) == 4001
        assert Door(installation, name).refusal() == 4001


def test_the_port_tells_nothing_to_those_who_may_not_know(other_namespace, neighbour, door, reader):
    assert door.get("/metrics") == (401, "unauthorized\n")
    assert door.get("/metrics", "garbage") == (401, "unauthorized\n")
    assert door.get("/metrics", token_of_account(other_namespace, "someone", None)) == (403, "forbidden\n")
    assert door.get("/metrics", token_of(other_namespace, "neighbour"))[0] == 401  # for another audience
    status, text = door.get("/metrics", reader)
    assert status == 200 and metrics(text)["lifeboat_leader"] == 1
    assert door.get("/")[0] == door.get("/channel")[0] == door.get("/livez", reader)[0] == 404
    assert door.get_in_clear("/livez") == door.get_in_clear("/readyz") == (200, "ok")
    assert door.get_in_clear("/metrics")[0] == door.get_in_clear("/")[0] == door.get_in_clear("/channel")[0] == 404


def test_an_endless_message_or_request_is_cut_short(other_namespace, member, door):
    text = websocket.ABNF.OPCODE_TEXT
    with door.opened(token_of(other_namespace, "member")) as connection:
        greet(connection, member)
        sent = code = 0
        while not code and sent < 4 << 20:
            sent += connection.send_frame(websocket.ABNF.create_frame(b"[" * 4096, text, 0))
            text = websocket.ABNF.OPCODE_CONT
            code = channel.close_code_so_far(connection)
        assert code == 1009
        assert 60 << 10 < sent < 1 << 20
    with door.connect() as connection:
        connection.sendall(b"GET /channel HTTP/1.1\r\nHost: lifeboat\r\nX-Endless: ")
        with pytest.raises(OSError):
            for _ in range(1000):
                connection.sendall(b"x" * 4096)
                time.sleep(0.005)


def test_a_crowd_of_strangers_neither_stops_a_backup_nor_fills_memory(machinery, installation, protection, program,
                                                                      explained, door):
    leader = installation.leader()
    pid = machinery.first_process(installation.pod(leader), "operator")
    before = processes.resident_bytes(pid)
    with Crowd(door, CROWD) as crowd:
        host.wait_until(lambda: crowd.opened >= CROWD, "the crowd is there")
        SidecarProcesses(machinery, protection.namespace, STANDBY).kill_server()  # so that it comes as they do
        protection.wait_until_succeeded(protection.back_up("crowded"))
        grown = processes.resident_bytes(pid) - before
        assert protection.pod_status(STANDBY)["connected"]
    protection.check(program, "crowded")
    protection.check_restore(program, "crowded", STANDBY)
    print(f"{before} bytes of memory, and {grown} more when {crowd.opened} strangers had come")
    assert grown < GROWTH_MAX
    assert installation.leader() == leader
    assert installation.pod(leader)["status"]["containerStatuses"][0]["restartCount"] == 0
