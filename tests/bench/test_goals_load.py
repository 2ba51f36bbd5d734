"""The load generator's own arithmetic and its reading of HTTP."""

from __future__ import annotations

import asyncio
import math

import pytest

from bench.goals.load import USERS_PER_CLIENT, Answer, Answers, Load, percentile, query_request, response_in

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


def test_a_response_counts_when_it_is_all_there() -> None:
    """Whatever pieces it comes in."""
    buffer = bytearray()
    for byte in OK[:-1]:
        buffer.append(byte)
        assert response_in(buffer) is None
    buffer += OK[-1:] + REFUSED
    assert (response_in(buffer), response_in(buffer)) == (200, 503)
    assert buffer == b""


def test_a_response_of_unknown_length_is_an_error() -> None:
    """The next one could not be found."""
    with pytest.raises(ValueError, match="Content-Length"):
        response_in(bytearray(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"))


@pytest.mark.parametrize(("percent", "value"), [(0, 1.0), (50, 51.0), (99, 100.0), (100, 100.0)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    """By the nearest rank, in whatever order they came."""
    assert percentile([float(number) for number in range(100, 0, -1)], percent) == value


def test_of_nothing_there_is_no_percentile() -> None:
    """Zero would be taken for a good one."""
    assert math.isnan(percentile([], 99))


def test_only_good_answers_make_the_rate() -> None:
    """A server that refuses fast is not fast."""
    answers = Answers(2.0, [Answer(0.0, 0.1, 200)] * 6 + [Answer(0.0, 0.001, 503)] * 4)
    assert (answers.rate, answers.failed) == (3.0, 4)


def test_no_two_clients_share_a_conversation() -> None:
    """Its queries would wait for each other."""
    users = [
        {query_request(client, number).split(b'"user_id":"')[1].split(b'"')[0] for number in range(10)}
        for client in (1, 2, 11)
    ]
    assert all(len(names) == USERS_PER_CLIENT for names in users)
    assert len(set().union(*users)) == 3 * USERS_PER_CLIENT


async def test_a_load_keeps_each_client_busy_and_waits_for_the_last_answers() -> None:
    """Every request that was sent is answered and counted, queries apart from probes."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
            if head.startswith(b"POST"):
                await reader.readuntil(b"}")
            asked.append(head[:4])
            writer.write(OK)

    async def serve_until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve_until_closed, "127.0.0.1", 0)
    async with (
        server,
        Load(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 3, probing=True) as load,
    ):
        await load.until(30)
    assert len(load.queries) == asked.count(b"POST")
    assert len(load.probes) == asked.count(b"GET ") >= 1


async def test_a_server_that_hangs_up_is_an_error() -> None:
    """Its silence would be taken for slowness."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    load = Load(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 1)
    async with server:
        with pytest.raises(ConnectionError):
            async with load:
                await load.until(1)
