"""Nothing is lost: the ring and the spool as one queue, against a broker that comes and goes."""

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_bridge.history import DUE_S, History
from firmware_bridge.spool import Spool, SpoolError

S = 1_000_000_000


@pytest.fixture
def spool_at(tmp_path):
    opened = []

    def opener(name="spool.sqlite", **options):
        bounds = {"max_bytes": 10_000_000, "max_age_s": 1e9, "uptime_s": lambda: 0.0} | options
        opened.append(Spool(tmp_path / name, **bounds))
        return opened[-1]

    yield opener
    for spool in opened:
        spool.close()


def drain(history):
    """Everything that a perfect broker takes now."""
    bodies = []
    while batch := history.take():
        bodies += batch.bodies
        history.acknowledge(batch)
    return bodies


def test_while_the_broker_answers_the_disk_is_not_written(spool_at, tmp_path):
    history = History(spool_at)
    before = [
        (each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in sorted(tmp_path.iterdir())
    ]
    for second in range(60):
        history.push(b"%d" % second, second * S)
        assert drain(history) == [b"%d" % second]
        history.poll(second * S + S // 2)
    after = [(each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in sorted(tmp_path.iterdir())]
    assert before == after


def test_what_waits_too_long_is_stored_in_one_commit(spool_at):
    history = History(spool_at)
    for second in range(5):
        history.push(b"%d" % second, second * S)
        history.poll(second * S)
    assert history.spool.rows == 0
    history.poll(int(DUE_S * S))
    assert history.spool.rows == 5
    assert drain(history) == [b"0", b"1", b"2", b"3", b"4"]
    history.poll(6 * S)
    assert history.spool.rows == 0
    assert history.waiting == 0


def test_a_lost_connection_stores_at_once_and_sends_again_in_order(spool_at):
    history = History(spool_at)
    for n in range(3):
        history.push(b"%d" % n, 0)
    assert history.take().bodies == [b"0", b"1", b"2"]
    assert history.take() is None
    history.connection_lost()
    history.poll(1)
    assert history.spool.rows == 3
    history.push(b"3", 2)
    assert drain(history) == [b"0", b"1", b"2", b"3"]


def test_an_acknowledgement_during_the_commit_is_not_forgotten(spool_at):
    history = History(spool_at)
    history.push(b"x", 0)
    batch = history.take()
    store = history.spool.store
    history.spool.store = lambda rows: (history.acknowledge(batch), store(rows))
    history.poll(int(DUE_S * S))
    assert history.spool.rows == 1
    history.poll(int(DUE_S * S) + 1)
    assert history.spool.rows == 0


def test_closing_keeps_everything_for_the_next_run(spool_at):
    history = History(spool_at)
    assert history.spool.begin_run("first") is None
    for n in range(7):
        history.push(b"%d" % n, 0)
    history.acknowledge(history.take(3))
    history.close()
    history = History(spool_at)
    assert history.spool.begin_run("second") == ("first", True)
    assert drain(history) == [b"3", b"4", b"5", b"6"]
    history = History(spool_at)
    assert history.spool.begin_run("third") == ("second", False)


def test_a_full_disk_degrades_to_memory_and_heals(spool_at):
    history = History(spool_at)
    limit = history.spool._writer.execute("PRAGMA page_count").fetchone()[0]
    history.spool._writer.execute(f"PRAGMA max_page_count={limit}")
    for n in range(200):
        history.push(b"%03d" % n * 300, n)
    history.poll(int(DUE_S * S) + 200)
    assert "full" in history.fault
    assert history.waiting == 200
    history.spool._writer.execute("PRAGMA max_page_count=100000")
    history.poll(int((DUE_S + 11) * S))
    assert history.fault is None
    assert history.spool.rows == 200
    assert [body[:3] for body in drain(history)] == [b"%03d" % n for n in range(200)]


def test_the_ring_is_bounded_and_counts(spool_at):
    def nowhere():
        raise SpoolError("no disk")

    history = History(nowhere, ring_bytes=100)
    for n in range(30):
        history.push(b"%010d" % n, n)
    assert history.dropped == 20
    assert [int(body) for body in drain(history)] == list(range(20, 30))


def test_a_spool_that_appears_late_is_taken_up(spool_at):
    with spool_at() as earlier:
        earlier.store([(41, b"old")])
    broken = [True]

    def sometimes():
        if broken[0]:
            raise SpoolError("not mounted yet")
        return spool_at()

    history = History(sometimes)
    history.push(b"new", 0)
    stale = history.take()
    broken[0] = False
    history.poll(20 * S)
    history.acknowledge(stale)  # its ids belong to the counting before
    assert drain(history) == [b"old", b"new"]


def test_a_corrupt_spool_is_set_aside(spool_at, tmp_path):
    with spool_at() as spool:
        spool.store([(n, bytes(2000)) for n in range(1, 50)])
    path = tmp_path / "spool.sqlite"
    content = bytearray(path.read_bytes())
    content[5000:40000] = b"\xa5" * 35000
    path.write_bytes(content)
    spool = spool_at()
    assert spool.rows == 0
    assert spool.set_aside.name == "spool.sqlite.corrupt"
    spool.store([(1, b"x")])
    path.with_name("b.sqlite").write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    assert spool_at("b.sqlite").set_aside is not None


def test_bounds_drop_the_oldest_and_count(spool_at):
    spool = spool_at(max_bytes=10_000)
    for n in range(1, 101):
        spool.store([(n, bytes(468))])  # 500 with the overhead
    assert (spool.rows, spool.dropped) == (20, 80)
    assert spool.read(0, 1)[0][0] == 81
    assert spool.bytes <= 10_000


def test_age_counts_running_time_over_restarts(spool_at):
    with spool_at(max_age_s=100, uptime_s=iter([0, 0, 60]).__next__) as spool:
        spool.store([(1, b"a")])
        spool.store([(2, b"b")])
    with spool_at(max_age_s=100, uptime_s=iter([1e9, 1e9 + 41, 1e9 + 101]).__next__) as spool:
        spool.store([(3, b"c")])
        assert [row for row, _ in spool.read(0, 10)] == [2, 3]
        spool.store([(4, b"d")])
        assert [row for row, _ in spool.read(0, 10)] == [3, 4]


def test_deleted_readings_do_not_stay_in_the_file(spool_at, tmp_path):
    spool = spool_at()
    spool.store([(n, b"arousal-%d-secret" % n) for n in range(1, 40)])
    spool.remove(range(1, 40))
    spool.close()
    assert b"secret" not in (tmp_path / "spool.sqlite").read_bytes()


def test_purge(spool_at):
    spool = spool_at()
    spool.store([(1, b"x"), (2, b"y")])
    assert spool.purge() == 2
    assert (spool.rows, spool.bytes, spool.read(0, 5)) == (0, 0, [])


def test_a_reader_is_not_held_up_by_a_writer(spool_at, tmp_path):
    spool = spool_at()
    spool.store([(1, b"x")])
    other = sqlite3.connect(tmp_path / "spool.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert spool.read(0, 5) == [(1, b"x")]
    other.close()


events = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 30)),
        st.tuples(st.just("take"), st.integers(1, 20)),
        st.tuples(st.just("ack"), st.integers(0, 3)),
        st.just(("lost",)),
        st.just(("poll",)),
        st.just(("wait",)),
        st.just(("restart",)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events)
def test_every_reading_is_acknowledged_or_waiting(tmp_path_factory, script):
    path = tmp_path_factory.mktemp("spool") / "s.sqlite"

    def opener():
        return Spool(path, max_bytes=10**8, max_age_s=1e9, uptime_s=lambda: 0.0)

    history, now, pushed, under_way, arrived = History(opener), 0, 0, [], []
    for event, *argument in script:
        if event == "push":
            for _ in range(argument[0]):
                pushed += 1
                history.push(b"%d" % pushed, now)
        elif event == "take" and (batch := history.take(argument[0])):
            under_way.append(batch)
        elif event == "ack" and under_way:
            batch = under_way.pop(argument[0] % len(under_way))
            arrived += [int(body) for body in batch.bodies]
            history.acknowledge(batch)
        elif event == "lost":
            under_way.clear()
            history.connection_lost()
        elif event == "poll":
            history.poll(now)
        elif event == "wait":
            now += 3 * S
        elif event == "restart":
            under_way.clear()
            history.close()
            history = History(opener)
    history.connection_lost()
    history.poll(now)
    rest = [int(body) for body in drain(history)]
    assert rest == sorted(set(rest))
    assert sorted(set(arrived) | set(rest)) == list(range(1, pushed + 1))
    history.close()
