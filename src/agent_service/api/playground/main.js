// What people do: ask, stop, go from conversation to conversation, begin and erase them, change settings.

let asking = null;

const titles = {
  all: () => JSON.parse(localStorage.getItem("titles") || "{}"),
  of: (session) => titles.all()[`${kept.user}/${session}`] || session,
  note(session, question) {
    const all = titles.all();
    const key = `${kept.user}/${session}`;
    if (all[key]) return;
    all[key] = question.replace(/\s+/g, " ").slice(0, 60);
    localStorage.setItem("titles", JSON.stringify(Object.fromEntries(Object.entries(all).slice(-200))));
  },
};

function setAsking(controller) {
  asking = controller;
  $("send").hidden = Boolean(controller);
  $("stop").hidden = !controller;
}

async function askQuestion(question, key = randomId()) {
  if (asking) return;
  const controller = new AbortController();
  setAsking(controller);
  const session = kept.session;
  const reply = new Reply(() => askQuestion(question, key));
  announce("Asked. Waiting for the answer.");
  try {
    for await (const event of ask(question, key, controller.signal)) reply.take(event);
    titles.note(session, question.text);
    announce(`Answer: ${reply.answer.textContent}`);
    showSessions();
  } catch (error) {
    if (error.name === "AbortError") {
      reply.stopped();
      announce("Stopped.");
    } else reply.fail(error);
  } finally {
    setAsking(null);
    look();
  }
}

async function submit() {
  const text = $("question").value.trim();
  const isPlain = !programs.chosen || programs.chosen.is_plain;
  if (asking || (isPlain && !text)) return;
  const question = asked(text);
  if (!question) return;
  if (isPlain) $("question").value = "";
  fitQuestion();
  await loading; // what was said before comes first, and takes the place of all that is shown
  showQuestion(question.text);
  transcript.scrollTop = transcript.scrollHeight;
  askQuestion(question);
}

function fitQuestion() {
  const box = $("question");
  box.rows = Math.min(8, box.value.split("\n").length);
}

let shownSessions = 0;

async function showSessions(after) {
  const turn = ++shownSessions;
  let page;
  try {
    page = await readSessions(after);
  } catch {
    return; // the banner says that the service is away; the list stays as it was
  }
  if (turn !== shownSessions) return;
  const rows = page.sessions.sort((a, b) => b.last_at.localeCompare(a.last_at)).map(sessionRow);
  if (!after && !page.sessions.some(({ session_id }) => session_id === kept.session)) {
    rows.unshift(sessionRow({ session_id: kept.session, turns: 0 }));
  }
  if (after) $("sessions").append(...rows);
  else $("sessions").replaceChildren(...rows);
  $("more-sessions").hidden = !page.next_after;
  $("more-sessions").onclick = () => showSessions(page.next_after);
}

function when(at) {
  const day = new Date(at);
  const isToday = day.toDateString() === new Date().toDateString();
  return isToday ? day.toLocaleTimeString([], { timeStyle: "short" }) : day.toLocaleDateString();
}

function sessionRow({ session_id: session, turns, last_at: at }) {
  const title = titles.of(session);
  const about = turns ? `${turns} ${turns === 1 ? "turn" : "turns"}, ${when(at)}` : "nothing said yet";
  const open = element("button", { type: "button", class: "open", title, "aria-current": session === kept.session ? "true" : null, onclick: () => openSession(session) }, title, element("small", {}, about));
  const erase = element("button", { type: "button", class: "icon quiet", "aria-label": `Erase ${title}`, title: "Erase", onclick: () => askToErase(session, title) }, "\u2715");
  return element("li", {}, open, turns ? erase : null);
}

async function openSession(session) {
  asking?.abort();
  keep({ session });
  openList(false);
  await showConversation();
  firstField().focus();
}

let shownConversations = 0;
let loading = Promise.resolve();

function showConversation() {
  loading = loadConversation();
  return loading;
}

async function loadConversation() {
  const turn = ++shownConversations;
  showSessions();
  try {
    const history = await readHistory();
    if (turn !== shownConversations) return;
    transcript.replaceChildren();
    history.turns.forEach(showTurn);
    if (history.turns.length) titles.note(kept.session, questionOf(history.turns[0]));
    if (history.next_before_seq) transcript.prepend(earlierButton(history.next_before_seq));
    if (!history.turns.length) showEmpty((text) => { $("question").value = text; submit(); });
    transcript.scrollTop = transcript.scrollHeight;
  } catch (error) {
    if (turn !== shownConversations) return;
    const again = element("button", { type: "button", onclick: showConversation }, "Load it again");
    transcript.replaceChildren(element("div", { class: "reply failed", role: "alert" }, element("p", {}, `The conversation cannot be shown. ${error.message} ${whatToDo(error)}`), again));
  }
}

function earlierButton(beforeSeq) {
  const button = element("button", { type: "button", class: "quiet", onclick: async () => {
    try {
      const history = await readHistory(beforeSeq);
      const later = [...transcript.children].filter((child) => child !== button);
      transcript.replaceChildren();
      if (history.next_before_seq) transcript.append(earlierButton(history.next_before_seq));
      history.turns.forEach(showTurn);
      const first = later[0];
      transcript.append(...later);
      first?.scrollIntoView();
    } catch (error) {
      announce(`${error.message} ${whatToDo(error)}`);
    }
  } }, "Show earlier questions");
  return button;
}

function beginConversation() {
  const now = new Date().toISOString().replace(/[-:]/g, "").slice(0, 15);
  openSession(`chat-${now}-${randomId(2)}`);
}

function chosenIn(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

async function askToErase(session, title) {
  $("confirm-text").textContent = `\u201C${title}\u201D will be erased from the service. That cannot be undone.`;
  if ((await chosenIn($("confirm"))) !== "erase") return;
  try {
    await eraseSession(session);
    announce("Erased.");
    if (session === kept.session) keep({ session: "default" });
    await showConversation();
  } catch (error) {
    banner(`Not erased. ${error.message} ${whatToDo(error)}`);
  }
}

let askingForKey = null;

// Calls that were refused together wait for one answer.
async function hasAnotherKey(refused, problem) {
  askingForKey ??= kept.key === refused ? askForKey(problem) : null;
  await askingForKey;
  askingForKey = null;
  return kept.key !== refused;
}

async function askForKey(problem) {
  $("new-key").value = "";
  $("ask-key-reason").textContent = problem.message;
  if ((await chosenIn($("ask-key"))) === "save") keep({ key: $("new-key").value.trim() });
}

async function changeSettings() {
  $("user").value = kept.user;
  $("key").value = kept.key;
  $("theme").value = kept.theme;
  if ((await chosenIn($("settings"))) !== "save") return;
  const user = $("user").value.trim();
  const moved = user && user !== kept.user;
  keep({ user: user || kept.user, key: $("key").value.trim(), theme: $("theme").value, ...(moved && { session: "default" }) });
  applyTheme();
  await Promise.all([showPrograms(), showConversation(), look()]);
}

function applyTheme() {
  if (kept.theme) document.documentElement.dataset.theme = kept.theme;
  else delete document.documentElement.dataset.theme;
}

function openList(open) {
  document.body.classList.toggle("list-open", open);
  $("open-list").setAttribute("aria-expanded", String(open));
  if (open) $("new").focus();
}

$("composer").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("question").addEventListener("input", fitQuestion);
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
});
$("composer").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("composer").requestSubmit(); }
});
$("program").addEventListener("change", () => { choose($("program").value); firstField().focus(); });
$("stop").addEventListener("click", () => asking?.abort());
$("new").addEventListener("click", beginConversation);
$("open-settings").addEventListener("click", changeSettings);
$("open-list").addEventListener("click", () => openList(!document.body.classList.contains("list-open")));
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (event.key === "Escape" && asking && !event.target.closest?.("dialog")) asking.abort();
  else if (event.key === "Escape") openList(false);
  else if (event.key === "/" && !typing) { event.preventDefault(); firstField().focus(); }
  else if (event.altKey && event.code === "KeyN") { event.preventDefault(); beginConversation(); }
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("#sidebar, #open-list, dialog")) openList(false);
});
document.addEventListener("visibilitychange", look);
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}

keep({});
applyTheme();
showPrograms();
showConversation();
keepLooking();
$("question").focus();
