# SPDX-License-Identifier: Apache-2.0
"""`rotate-key` changes the user key: what was sealed before opens with the new one, and at no moment with none."""

import signal
import time

import pytest

import chance
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, new_key
from postgres import Postgres, assert_verified

DATA_KEYS = 10  # of one repository, which is more than anybody has


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest)
    server.add_role(PASSWORD)
    return server


@pytest.fixture
def backed_up(lifeboat, server) -> Lifeboat:
    """In two regions, under k1; k2 is to come."""
    lifeboat.add_directory("there")
    lifeboat.backup(server)
    lifeboat.add_secret("k2", new_key())
    lifeboat.spec["encryption"] = {"activeKey": "k2", "keys": ["k1", "k2"]}
    return lifeboat


def only(lifeboat: Lifeboat, key: str) -> None:
    lifeboat.spec["encryption"] = {"keys": [key]}


def opens(lifeboat: Lifeboat, key: str) -> bool:
    """Whether that key alone opens all backups."""
    before = lifeboat.spec["encryption"]
    only(lifeboat, key)
    done = lifeboat.run("list", check=False)
    lifeboat.spec["encryption"] = before
    return done.returncode == 0


def test_a_user_key_is_replaced(backed_up, server, newest):
    done = backed_up.json("rotate-key")
    assert (done["keys"], done["wrapped"], done["activeKey"]["name"]) == (2, 4, "k2")
    [old] = done["otherKeys"]
    assert (old["name"], old["keys"], old["dropped"]) == ("k1", 2, False)
    assert opens(backed_up, "k1") and opens(backed_up, "k2")

    told = backed_up.run("rotate-key", "--drop", "k1", "--new-data-key", "--dry-run").stdout
    print(told)
    assert "Would put 0 key objects for user key 'k2'" in told and "Would remove 4 key objects" in told
    assert "Would make a new data key" in told
    print(backed_up.run("rotate-key").stdout)
    told = backed_up.run("rotate-key", "--drop", "k1").stdout
    print(told)
    assert "Keep user key 'k2'" in told and "It opens nothing any more" in told
    assert backed_up.json("rotate-key", "--drop", old["id"])["wrapped"] == 0
    only(backed_up, "k1")
    backed_up.failure("list").names("wrong key", old["id"], done["activeKey"]["id"])

    only(backed_up, "k2")
    (backed_up.secrets / "k1").unlink()
    backed_up.backup(server, "--type", "incremental")
    assert backed_up.json("verify")["findings"]["count"] == 0
    for backup in backed_up.list():
        backed_up.restore(backed_up.home / backup["id"], "--backup", backup["id"])
        assert_verified(newest, backed_up.home / backup["id"])


def test_later_backups_are_sealed_with_the_new_data_key(backed_up, server, newest):
    def data_keys(backup: str) -> set[bytes]:
        """The trailer's key id, in every pack: docs/repository-format.md."""
        packs = backed_up.repository().glob(f"packs/{backup}/*")
        return {path.read_bytes()[-116 + 8:-116 + 16] for path in packs}

    before = backed_up.list()[0]["id"]
    done = backed_up.json("rotate-key", "--new-data-key", "--drop", "k1")
    only(backed_up, "k2")
    after = backed_up.backup(server)["id"]
    assert data_keys(after) == {bytes.fromhex(done["newDataKey"])}
    assert data_keys(before).isdisjoint(data_keys(after))
    for backup in (before, after):
        backed_up.restore(backed_up.home / backup, "--backup", backup)
        assert_verified(newest, backed_up.home / backup)


def test_a_rotation_killed_at_any_moment_leaves_a_key_that_opens_all(backed_up, newest):
    started = time.monotonic()
    backed_up.json("rotate-key", "--dry-run")
    moments = chance.Moments(chance.dice(), 3 * (time.monotonic() - started))  # it does more than that
    old, new = "k1", "k2"
    for kill, moment in enumerate(moments):
        backed_up.add_secret(new, new_key())
        backed_up.spec["encryption"] = {"activeKey": new, "keys": [old, new]}
        wish = ["--new-data-key"] if kill < DATA_KEYS else []
        with backed_up.running("rotate-key", *wish, "--drop", old) as process:
            moments.strike(process, signal.SIGKILL, moment)
            command_line.outcome(process)
        assert opens(backed_up, old) or opens(backed_up, new)
        backed_up.json("rotate-key", "--drop", old)
        assert opens(backed_up, new) and not opens(backed_up, old)
        old, new = new, f"k{kill + 3}"
    only(backed_up, old)
    backed_up.restore(backed_up.home / "new")
    assert_verified(newest, backed_up.home / "new")


def test_a_damaged_key_object_is_told_from_a_wrong_key(backed_up):
    backed_up.json("rotate-key")
    for path in [*backed_up.repository().glob("keys/*"), *(backed_up.home / "there").glob("*/*/keys/*")]:
        path.write_bytes(path.read_bytes()[:-10])
    assert backed_up.failure("list").kind == "corrupt"
    backed_up.add_secret("k1", new_key())
    backed_up.add_secret("k2", new_key())
    failure = backed_up.failure("list")
    assert failure.kind == "permanent"
    failure.names("wrong key")
