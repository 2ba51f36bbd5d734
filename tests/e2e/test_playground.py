"""The playground in a real browser against a real service and a simulated model."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from agent_service.access.key import digest_of, new_secret
from agent_service.access.key_file import add_key
from tests.access.test_key import a_key
from tests.e2e.browser import Playground, chromium
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.processes import Service, Simulator


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Playground]]:
    """Opens the playground of a service in a tab of its own; nothing may be complained about in the end."""
    opened: list[Playground] = []

    def open_tab(service: Service, **options: bool | int) -> Playground:
        opened.append(Playground(browser, service.url(), **options))  # type: ignore[arg-type] # by their names
        return opened[-1]

    yield open_tab
    for tab in opened:
        assert tab.complaints == []
        tab.close()


def test_a_question_is_answered_with_its_steps_and_found_again_after_a_reload(
    serve: Callable[..., Service], simulator: Simulator, visit: Callable[..., Playground]
) -> None:
    """Ask by keyboard, watch the steps, read the answer; another visit finds the conversation."""
    tab = visit(serve(**simulator.settings()))
    expect(tab.page.locator("#question")).to_be_focused()

    tab.ask("What is 17 * 23?")

    expect(tab.page.locator(".reply .answer")).to_have_text("391")
    expect(tab.page.locator(".reply summary")).to_have_text("1 step: calculator")
    tab.page.click(".reply summary")
    expect(tab.page.locator(".reply li code")).to_have_text('calculator(expression="17 * 23")')
    expect(tab.page.locator(".reply li .good")).to_have_count(4)
    expect(tab.page.locator("#announcer")).to_have_text("Answer: 391")
    tab.page.reload()
    expect(tab.page.locator(".asked p")).to_contain_text("What is 17 * 23?")
    expect(tab.page.locator(".reply .answer")).to_have_text("391")
    expect(tab.page.locator("#sessions .open")).to_contain_text("What is 17 * 23?")


def test_steps_unfold_while_the_model_is_still_thinking(
    serve: Callable[..., Service], simulator: Simulator, visit: Callable[..., Playground]
) -> None:
    """Nobody looks at a blank page: the first step is there before the answer is."""
    tab = visit(serve(**simulator.settings()))
    simulator.behave(latency_seconds=1.0)

    tab.ask("What is 17 * 23?")

    expect(tab.page.locator(".reply.running li")).to_have_count(1)
    expect(tab.page.locator(".reply.running li")).to_have_count(3)
    expect(tab.page.locator(".reply:not(.running) .answer")).to_have_text("391")


def test_a_service_that_asks_for_a_key_gets_it_from_the_person(
    serve: Callable[..., Service], simulator: Simulator, visit: Callable[..., Playground], tmp_path: Path
) -> None:
    """By keyboard: a wrong key is asked for again, a right one is kept for the tab and for it alone."""
    key_id, secret = new_secret()
    add_key(tmp_path / "keys.json", a_key(id=key_id, sha256=digest_of(secret).hex()))
    service = serve(**simulator.settings(API_KEYS_FILE=str(tmp_path / "keys.json")))
    tab = visit(service)
    expect(tab.page.locator("#ask-key")).to_be_visible()
    expect(tab.page.locator("#new-key")).to_be_focused()
    assert tab.barriers() == []

    tab.page.keyboard.type("ask_wrong")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#ask-key-reason")).to_have_text("The key is not known.")
    expect(tab.page.locator("#new-key")).to_be_focused()
    tab.page.keyboard.type(secret)
    tab.page.keyboard.press("Enter")

    expect(tab.page.locator("#ask-key")).to_be_hidden()
    tab.ask("What is 17 * 23?")
    expect(tab.page.locator(".reply .answer")).to_have_text("391")
    tab.page.reload()
    expect(tab.page.locator(".reply .answer")).to_have_text("391")
    expect(tab.page.locator("#ask-key")).to_be_hidden()
    assert secret not in tab.page.evaluate("JSON.stringify(localStorage)")
    other = visit(service)
    expect(other.page.locator("#ask-key")).to_be_visible()
    other.page.keyboard.press("Escape")
    expect(other.page.locator(".reply.failed")).to_contain_text("Enter your API key under Settings")


def test_a_stop_in_mid_answer_ends_the_run(
    serve: Callable[..., Service], simulator: Simulator, visit: Callable[..., Playground]
) -> None:
    """Esc stops the run, its model's call included, and the conversation does not have the question."""
    service = serve(**simulator.settings())
    tab = visit(service)
    simulator.behave(latency_seconds=20.0)
    tab.ask("What is 17 * 23?")
    expect(tab.page.locator(".reply.running li")).to_have_count(1)

    tab.page.keyboard.press("Escape")

    expect(tab.page.locator(".reply")).to_contain_text("You stopped this answer")
    wait_until(
        "the run ends", lambda: service.metric('agent_errors_total{error="cancelled"}') == 1, seconds=5
    )
    assert service.metric("agent_pool_in_use") == 0
    simulator.heal()
    tab.page.click("button:has-text('Ask again')")
    expect(tab.page.locator(".reply .answer")).to_have_text("391")


def test_an_open_breaker_is_told_with_what_to_do(
    serve: Callable[..., Service], simulator: Simulator, visit: Callable[..., Playground]
) -> None:
    """The card says why and when to ask again, the tile and the banner that it is not the person's fault."""
    service = serve(**simulator.settings(AGENT_MAX_RETRIES="0", CIRCUIT_BREAKER_THRESHOLD="1"))
    tab = visit(service)
    simulator.behave(faults=[{"kind": "500"}])
    tab.ask("What is 17 * 23?")
    expect(tab.page.locator(".reply.failed")).to_contain_text("The language model failed")

    tab.ask("And now?")

    expect(tab.page.locator(".reply.failed").last).to_contain_text("Ask again when the breaker has closed")
    expect(tab.page.locator(".reply.failed button").last).to_contain_text("Ask again in")
    expect(tab.page.locator("#tile-breaker")).to_have_text("open")
    expect(tab.page.locator("#banner")).to_contain_text("circuit breaker is open")
    assert tab.barriers() == []


def test_a_service_that_goes_and_comes_back(
    serve: Callable[..., Service], simulator: Simulator, visit: Callable[..., Playground]
) -> None:
    """The page says that the service is gone, keeps the question, and goes on when it is back."""
    first = serve(**simulator.settings())
    tab = visit(first)
    tab.ask("What is 17 * 23?")
    expect(tab.page.locator(".reply .answer")).to_have_text("391")
    port = first.url().rpartition(":")[2]
    first.signal(signal.SIGTERM)
    assert first.status() == 0

    tab.ask("What is 2+2?")

    expect(tab.page.locator(".reply.failed")).to_contain_text("The question is kept")
    expect(tab.page.locator("#banner")).to_contain_text("does not answer")
    second = serve(**simulator.settings(SERVER_PORT=port))
    assert second.url().endswith(port)
    expect(tab.page.locator("#tile-status")).to_have_text("healthy")
    expect(tab.page.locator("#banner")).to_be_hidden()
    tab.page.click("button:has-text('Ask again')")
    expect(tab.page.locator(".reply .answer").last).to_have_text("4")
    tab.page.reload()
    expect(tab.page.locator(".asked")).to_have_count(2)


def test_conversations_are_begun_left_and_erased(
    serve: Callable[..., Service], simulator: Simulator, visit: Callable[..., Playground]
) -> None:
    """The list has each conversation by its first question; erasing asks first and then forgets."""
    service = serve(**simulator.settings())
    tab = visit(service)
    tab.ask("What is 2+2?")
    expect(tab.page.locator(".reply .answer")).to_have_text("4")
    tab.page.keyboard.press("Alt+n")
    expect(tab.page.locator(".empty")).to_be_visible()
    tab.ask("What is 17 * 23?")
    expect(tab.page.locator(".reply .answer")).to_have_text("391")
    expect(tab.page.locator("#sessions .open")).to_have_count(2)

    tab.page.click("#sessions .open:has-text('What is 2+2?')")
    expect(tab.page.locator(".reply .answer")).to_have_text("4")
    tab.page.click("[aria-label='Erase What is 2+2?']")
    tab.page.click("#confirm button:has-text('Keep it')")
    expect(tab.page.locator("#sessions .open")).to_have_count(2)
    tab.page.click("[aria-label='Erase What is 2+2?']")
    tab.page.click("#confirm button.danger")

    expect(tab.page.locator(".empty")).to_be_visible()
    user = tab.page.evaluate("localStorage.getItem('user')")
    sessions = service.client.get(f"/api/v1/users/{user}/sessions").json()["sessions"]
    assert [session["turns"] for session in sessions] == [1]


def test_answers_are_never_run_as_html(
    serve: Callable[..., Service], simulator: Simulator, visit: Callable[..., Playground]
) -> None:
    """What a model or a person wrote is shown as text, code in backquotes as code."""
    tab = visit(serve(**simulator.settings()))
    attack = "<img src=x onerror=alert(1)><script>alert(2)</script>"

    tab.ask(f"{attack} `code` What is 2+2?")

    expect(tab.page.locator(".reply:not(.running)")).to_have_count(1)
    expect(tab.page.locator(".asked p")).to_contain_text(attack)
    assert tab.page.locator("#transcript img, #transcript script").count() == 0


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1100])
def test_axe_finds_nothing_serious(
    serve: Callable[..., Service],
    simulator: Simulator,
    visit: Callable[..., Playground],
    width: int,
    dark: bool,
) -> None:
    """Empty, answered, failed and in its dialogs, light and dark, wide and on a phone; nothing sticks out."""
    tab = visit(serve(**simulator.settings(AGENT_MAX_RETRIES="0")), width=width, dark=dark)
    expect(tab.page.locator(".empty")).to_be_visible()
    assert tab.barriers() == []
    tab.ask("What is 17 * 23?")
    expect(tab.page.locator(".reply .answer")).to_have_text("391")
    simulator.behave(faults=[{"kind": "500"}])
    tab.ask("And again?")
    expect(tab.page.locator(".reply.failed")).to_be_visible()
    assert tab.barriers() == []
    if width < 700:
        tab.page.click("#open-list")
        expect(tab.page.locator("#new")).to_be_focused()
        assert tab.barriers() == []
        tab.page.keyboard.press("Escape")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    tab.page.click("#open-settings")
    assert tab.barriers() == []
    tab.page.keyboard.press("Escape")


def test_settings_change_who_asks_and_with_which_key(
    serve: Callable[..., Service], simulator: Simulator, visit: Callable[..., Playground]
) -> None:
    """Another name has conversations of its own; the key goes with every call and is gone with the tab."""
    service = serve(**simulator.settings())
    tab = visit(service)
    tab.page.click("#open-settings")
    tab.page.fill("#user", "ada")
    tab.page.fill("#key", "sk-playground")
    with tab.page.expect_request("**/api/v1/users/ada/history*") as sent:
        tab.page.click("#settings button.primary")

    assert sent.value.headers["authorization"] == "Bearer sk-playground"
    assert tab.page.evaluate("JSON.stringify(localStorage)").find("sk-playground") == -1
    tab.ask("What is 2+2?")
    expect(tab.page.locator(".reply .answer")).to_have_text("4")
    assert len(service.client.get("/api/v1/users/ada/history").json()["turns"]) == 1


@pytest.mark.parametrize("width", [360, 1100])
def test_a_program_of_several_fields_has_a_form(
    serve: Callable[..., Service], visit: Callable[..., Playground], width: int
) -> None:
    """Picked by name and filled by keyboard; what is not JSON is said at its field, outputs stand by name."""
    tab = visit(serve(AGENT_PROGRAM="demo=builtin,triage=typed_programs:triage"), width=width)
    tab.page.select_option("#program", "triage")
    expect(tab.page.locator("#question")).to_be_hidden()
    expect(tab.page.locator("#field-message")).to_be_focused()
    assert tab.barriers() == []
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width

    tab.page.keyboard.type("Hello")
    tab.page.select_option("#field-language", label="de")
    tab.page.fill("#field-people", "[{")
    tab.page.press("#field-people", "Control+Enter")
    assert "not JSON" in tab.page.locator("#field-people").evaluate("box => box.validationMessage")
    tab.page.fill("#field-people", '[{"name": "Ada"}]')
    tab.page.press("#field-people", "Control+Enter")

    expect(tab.page.locator(".asked p")).to_contain_text('people: [{"name":"Ada"}]')
    expect(tab.page.locator(".reply dt")).to_have_text(["reasoning", "label", "score"])
    assert tab.barriers() == []
    tab.page.reload()
    expect(tab.page.locator(".reply dt")).to_have_count(3)
    expect(tab.page.locator("#field-message")).to_be_visible()
    tab.page.select_option("#program", "demo")
    tab.ask("What is 17 * 23?")
    expect(tab.page.locator(".reply .answer").last).to_have_text("391")
