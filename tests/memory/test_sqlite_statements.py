"""What the SQL costs and what it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import pytest

from agent_service.core.messages import ConversationId, Turn
from agent_service.memory import sqlite_claims, sqlite_statements
from agent_service.memory.base import StoreOptions
from agent_service.memory.sqlite_recent import RecentTurns
from agent_service.memory.sqlite_schema import open_prepared
from agent_service.memory.sqlite_statements import (
    append_turn,
    erase_conversations,
    forget_conversations,
    read_page,
    read_window,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATEMENTS = {
    name: value
    for name, value in {**vars(sqlite_statements), **vars(sqlite_claims)}.items()
    if name.isupper() and isinstance(value, str)
}
HERE = ConversationId("user")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    """A fresh file."""
    opened = open_prepared(tmp_path / "store.db", 1.0)
    yield opened
    opened.close()


def _append(
    connection: apsw.Connection, user: str, number: int, *, now: float = 0.0, max_turns: int = 3
) -> None:
    options = StoreOptions(ttl_seconds=10.0, max_turns=max_turns)
    turn = Turn(f"t{number}", f"secret {number}", "a", 0.0)
    append_turn(connection, ConversationId(user), turn, 0, options=options, now_epoch_seconds=now)


def _rows(connection: apsw.Connection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_finds_its_rows_by_an_index(connection: apsw.Connection, name: str) -> None:
    """No statement scans a table or sorts: its cost does not grow with the file."""
    sql = STATEMENTS[name]

    plan = [
        str(row[3])
        for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", (1,) * sql.count("?")).fetchall()
    ]

    assert not [step for step in plan if "TEMP B-TREE" in step or ("SCAN" in step and "INDEX" not in step)]
    assert plan or sql.lstrip().startswith("INSERT")


def test_a_trimmed_turn_leaves_its_id_only(connection: apsw.Connection) -> None:
    """What is no longer shown is no longer there to be read; rows are bounded by twice max_turns."""
    for number in range(1, 11):
        _append(connection, "user", number)

    rows = _rows(connection, "SELECT seq, question FROM turns ORDER BY seq")

    assert rows == [
        *((seq, None) for seq in (5, 6, 7)),
        *((seq, f"secret {seq}") for seq in (8, 9, 10)),
    ]


def test_turns_of_a_long_conversation_are_trimmed_some_at_a_time(connection: apsw.Connection) -> None:
    """At most a tenth more than are kept has texts, and none of it is shown; no row is trimmed alone."""
    with_texts = []
    for number in range(1, 61):
        _append(connection, "user", number, max_turns=20)
        with_texts += _rows(connection, "SELECT count(*) FROM turns WHERE question IS NOT NULL")
        window = read_window(
            connection, HERE, 99, options=StoreOptions(ttl_seconds=10.0, max_turns=20), now_epoch_seconds=0.0
        )
        assert [stored.seq for stored in window.turns] == list(range(max(1, number - 19), number + 1))

    assert with_texts[-6:] == [(22,), (20,), (21,), (22,), (20,), (21,)]
    assert _rows(connection, "SELECT count(*) FROM turns") == [(41,)]


def test_what_expired_is_forgotten_as_far_as_told(connection: apsw.Connection) -> None:
    """With their turns; those that live stay, and no single call takes long."""
    for number in range(5):
        _append(connection, f"old {number}", 1)
    _append(connection, "new", 1, now=10.0)

    forget_conversations(connection, 3, now_epoch_seconds=10.0)
    assert _rows(connection, "SELECT count(*) FROM conversations") == [(3,)]
    forget_conversations(connection, 3, now_epoch_seconds=10.0)

    assert _rows(connection, "SELECT user_id FROM conversations") == [("new",)]
    assert _rows(connection, "SELECT count(*) FROM turns") == [(1,)]


def test_lowering_max_turns_shows_and_keeps_fewer(connection: apsw.Connection) -> None:
    """A restart with a smaller max_turns holds at once for reads, and trims with the next commit."""
    for number in range(1, 7):
        _append(connection, "user", number, max_turns=6)
    fewer = StoreOptions(max_turns=2)

    window = read_window(connection, HERE, 9, options=fewer, now_epoch_seconds=0.0)
    page = read_page(connection, HERE, 9, None, options=fewer, now_epoch_seconds=0.0)
    _append(connection, "user", 7, max_turns=2)

    assert [stored.seq for stored in window.turns] == [5, 6]
    assert ([stored.seq for stored in page.turns], page.next_before_seq) == ([5, 6], None)
    assert _rows(connection, "SELECT seq FROM turns WHERE question NOT NULL") == [(6,), (7,)]


def test_raising_max_turns_does_not_show_trimmed_turns(connection: apsw.Connection) -> None:
    """A restart with a larger max_turns keeps more from then on; what was trimmed stays away."""
    for number in range(1, 5):
        _append(connection, "user", number, max_turns=2)
    more = StoreOptions(max_turns=50)

    window = read_window(connection, HERE, 9, options=more, now_epoch_seconds=0.0)

    assert [stored.seq for stored in window.turns] == [3, 4]
    assert erase_conversations(connection, "user", None, options=more, now_epoch_seconds=0.0) == 2


def test_erased_turns_leave_no_row(connection: apsw.Connection) -> None:
    """Erasing takes trimmed turns and expired ones along, though it counts neither."""
    for number in range(1, 7):
        _append(connection, "user", number)
    gone = erase_conversations(
        connection, "user", None, options=StoreOptions(max_turns=3), now_epoch_seconds=10.0
    )

    assert gone == 0
    assert _rows(connection, "SELECT count(*) FROM turns") == [(0,)]
    assert _rows(connection, "SELECT count(*) FROM conversations") == [(0,)]


def test_ordinary_texts_are_stored_as_text(connection: apsw.Connection) -> None:
    """An operator can read and query the file with any SQLite tool."""
    _append(connection, "user", 1)

    assert _rows(connection, "SELECT typeof(user_id) FROM conversations WHERE user_id = 'user'") == [
        ("text",)
    ]
    assert _rows(connection, "SELECT typeof(question) FROM turns") == [("text",)]


def test_what_is_known_is_shown_as_it_is_in_the_file(connection: apsw.Connection) -> None:
    """Commits through what knows the conversation, and past it as another process makes them."""
    options, recent = StoreOptions(ttl_seconds=10.0, max_turns=3), RecentTurns()
    for number in range(1, 12):
        knowing = None if number % 4 == 0 else recent
        turn = Turn(f"t{number}", f"q{number}", "a", 0.0)
        append_turn(connection, HERE, turn, 0, knowing, options=options, now_epoch_seconds=0.0)
        for last_turns in (0, 2, 9):
            shown = read_window(connection, HERE, last_turns, recent, options=options, now_epoch_seconds=0.0)
            assert shown == read_window(connection, HERE, last_turns, options=options, now_epoch_seconds=0.0)


def test_what_is_known_is_not_read_again(connection: apsw.Connection) -> None:
    """Neither after a read nor after a commit behind it."""
    options, recent, reads = StoreOptions(), RecentTurns(), list[str]()
    _append(connection, "user", 1)
    read_window(connection, HERE, 3, recent, options=options, now_epoch_seconds=0.0)
    connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: reads.append(event["sql"]))
    append_turn(connection, HERE, Turn("2", "q", "a", 0.0), 1, recent, options=options, now_epoch_seconds=0.0)
    window = read_window(connection, HERE, 3, recent, options=options, now_epoch_seconds=0.0)
    assert [stored.seq for stored in window.turns] == [1, 2]
    assert sqlite_statements.READ_TURNS not in reads
    assert sqlite_statements.FIND_NEWEST in reads


def test_a_conversation_that_began_anew_in_the_same_moment_is_not_taken_for_the_old_one(
    connection: apsw.Connection,
) -> None:
    """Another process erased it: the row is as it was, but not its newest turn."""
    options, recent = StoreOptions(ttl_seconds=10.0, max_turns=3), RecentTurns()
    _append(connection, "user", 1)
    read_window(connection, HERE, 3, recent, options=options, now_epoch_seconds=0.0)
    erase_conversations(connection, "user", None, options=options, now_epoch_seconds=0.0)
    _append(connection, "user", 2)

    window = read_window(connection, HERE, 3, recent, options=options, now_epoch_seconds=0.0)

    assert [stored.turn.question for stored in window.turns] == ["secret 2"]
