// What was said: questions, steps as they happen, answers as they come.

const $ = (id) => document.getElementById(id);
const transcript = $("transcript");

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function announce(text) {
  $("announcer").textContent = text;
}

function duration(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(milliseconds < 10000 ? 2 : 1)} s`;
}

// Answers are text; blocks and words in backquotes are shown as code. Nothing is ever parsed as HTML.
function written(text) {
  return text.split(/\n?(```[\s\S]*?```)\n?|(`[^`\n]+`)/).filter(Boolean).map((part) => {
    if (part.startsWith("```") && part.length >= 6) {
      return element("pre", { tabindex: "0" }, element("code", {}, part.slice(3, -3).replace(/^[\w+-]*\n/, "")));
    }
    if (part.startsWith("`") && part.length > 2) return element("code", {}, part.slice(1, -1));
    return document.createTextNode(part);
  });
}

function followingEnd(change) {
  const atEnd = transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight < 80;
  change();
  if (atEnd) transcript.scrollTop = transcript.scrollHeight;
}

function showQuestion(question) {
  transcript.querySelector(".empty")?.remove();
  transcript.append(element("div", { class: "asked" }, element("p", {}, element("span", { class: "visually-hidden" }, "You asked: "), question)));
}

const EXAMPLES = ["What is 17 * 23?", "What day is it today?", "How many km are 26.2 miles?", "What did I ask before?"];

function showEmpty(onPick) {
  const examples = EXAMPLES.map((text) => element("li", {}, element("button", { type: "button", onclick: () => onPick(text) }, text)));
  transcript.replaceChildren(element("div", { class: "empty" }, element("p", {}, "Nothing was said here yet. For example:"), element("ul", { hidden: programs.chosen && !programs.chosen.is_plain }, ...examples)));
}

// One answer in the making.
class Reply {
  constructor(askAgain) {
    this.askAgain = askAgain;
    this.text = "";
    this.unfinished = [];
    this.list = element("ol");
    this.summary = element("summary", {}, "Thinking");
    this.details = element("details", { class: "steps", open: true }, this.summary, this.list);
    this.answer = element("p", { class: "answer" });
    this.about = element("div", { class: "about" });
    this.card = element("article", { class: "reply running", "aria-label": "Answer", "aria-busy": "true" }, this.details, this.answer, this.about);
    followingEnd(() => transcript.append(this.card));
  }

  take({ kind, data }) {
    if (kind === "lm.started" || kind === "tool.started") this.#begin(kind, data);
    else if (kind === "lm.finished" || kind === "tool.finished") this.#finish(kind, data);
    else if (kind === "answer.delta") this.#grow(data.text);
    else if (kind === "answer.reset") this.text = this.answer.textContent = "";
    else if (kind === "answer") this.end(data);
  }

  #begin(kind, data) {
    const isTool = kind.startsWith("tool");
    const name = isTool ? element("code", {}, `${data.tool}(${shortly(data.arguments)})`) : element("span", {}, data.attempt > 1 ? `asks ${data.model}, attempt ${data.attempt}` : `asks ${data.model}`);
    const row = element("li", {}, element("span", { "aria-hidden": "true" }, isTool ? "\u2699" : "\u2026"), name, element("time", {}, "\u2026"));
    followingEnd(() => this.list.append(row));
    this.unfinished.push({ key: keyOf(kind, data), row });
    this.summary.textContent = isTool ? `Using ${data.tool}` : "Thinking";
    if (isTool) announce(`Using ${data.tool}`);
  }

  #finish(kind, data) {
    const place = this.unfinished.findIndex(({ key }) => key === keyOf(kind, data));
    if (place < 0) return;
    const [{ row }] = this.unfinished.splice(place, 1);
    const good = data.outcome === "success";
    row.firstChild.textContent = good ? "\u2713" : "\u2717";
    row.firstChild.className = good ? "good" : "bad";
    row.lastChild.textContent = good ? duration(data.latency_ms) : `${data.outcome}, ${duration(data.latency_ms)}`;
    const tokens = (data.prompt_tokens || 0) + (data.completion_tokens || 0);
    if (tokens) row.children[1].append(`, ${tokens} tokens`);
  }

  #grow(text) {
    if (!this.text) this.summary.textContent = "Answering";
    this.text += text;
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      followingEnd(() => { this.answer.textContent = this.text; });
    });
  }

  end(answer) {
    this.#settle();
    const tools = answer.reasoning_steps === 1 ? "1 step" : `${answer.reasoning_steps ?? 0} steps`;
    this.summary.textContent = answer.tools_used?.length ? `${tools}: ${answer.tools_used.join(", ")}` : tools;
    if (!this.list.children.length) this.details.remove();
    followingEnd(() => this.answer.replaceChildren(...shownAnswer(answer)));
    this.about.append(
      ...[
        answer.latency_ms !== undefined && duration(answer.latency_ms),
        answer.usage && `${answer.usage.total_tokens} tokens, ${answer.usage.lm_calls} calls`,
        answer.model,
        answer.stored === false && "not stored",
        ...(answer.degraded || []).map((what) => `without ${what}`),
      ].filter(Boolean).map((text) => element("span", {}, text)),
      element("button", { type: "button", class: "quiet", onclick: () => navigator.clipboard?.writeText(textOf(answer)).then(() => announce("Copied")) }, "Copy"),
    );
  }

  stopped() {
    this.#settle();
    this.summary.textContent = "Stopped";
    this.about.append(element("span", {}, "You stopped this answer; it is not part of the conversation."), this.#again());
  }

  fail(error) {
    followingEnd(() => this.#fail(error));
  }

  #fail(error) {
    this.#settle();
    this.card.classList.add("failed");
    if (!this.list.children.length) this.details.remove();
    else this.summary.textContent = "Failed";
    const reason = [error.message, ...(error.fields || [])].join(" ");
    this.answer.replaceChildren(element("strong", {}, error.title || "No answer"), document.createTextNode(`: ${reason}`));
    this.card.insertBefore(element("p", { class: "what" }, whatToDo(error)), this.about);
    if (error.requestId) this.about.append(element("span", {}, `request ${error.requestId}`));
    this.about.append(this.#again(error.retryAfterSeconds));
    announce(`No answer. ${reason} ${whatToDo(error)}`);
  }

  #settle() {
    cancelAnimationFrame(this.frame);
    this.card.classList.remove("running");
    this.card.setAttribute("aria-busy", "false");
    this.details.open = false;
    for (const row of this.list.children) if (row.lastChild.textContent === "\u2026") row.lastChild.textContent = "not finished";
  }

  // The button counts down to the time the service named.
  #again(seconds) {
    const button = element("button", { type: "button", onclick: () => { this.card.remove(); this.askAgain(this); } }, "Ask again");
    const until = Date.now() + (seconds || 0) * 1000;
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      button.disabled = left > 0;
      button.textContent = left > 0 ? `Ask again in ${left} s` : "Ask again";
      if (left > 0 && button.isConnected) setTimeout(tick, 500);
    };
    queueMicrotask(tick);
    return button;
  }
}

const keyOf = (kind, data) => (kind.startsWith("tool") ? `tool ${data.step}` : `lm ${data.model} ${data.attempt}`);

function shortly(values) {
  if (values === undefined || values === null) return "";
  const text = typeof values === "string" ? values : Object.entries(values).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(", ");
  return text.length > 120 ? `${text.slice(0, 120)}\u2026` : text;
}

const questionOf = (turn) => (turn.inputs ? named(turn.inputs) : turn.question);

function showTurn(turn) {
  showQuestion(questionOf(turn));
  const card = element("article", { class: "reply", "aria-label": "Answer" }, element("p", { class: "answer" }, ...shownAnswer(turn)), element("div", { class: "about" }, element("span", {}, new Date(turn.at).toLocaleString()), turn.model ? element("span", {}, turn.model) : null));
  transcript.append(card);
}
