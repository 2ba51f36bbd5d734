// The service as the page sees it: who asks, with which key, and what went wrong in words of the service.

// Browsers give crypto.randomUUID to pages over HTTPS and on localhost alone.
function randomId(bytes = 16) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const kept = {
  user: localStorage.getItem("user") || `guest-${randomId(4)}`,
  session: localStorage.getItem("session") || "default",
  key: sessionStorage.getItem("key") || "",
  theme: localStorage.getItem("theme") || "",
  program: localStorage.getItem("program") || "",
};

function keep(changes) {
  Object.assign(kept, changes);
  for (const name of ["user", "session", "theme", "program"]) localStorage.setItem(name, kept[name]);
  sessionStorage.setItem("key", kept.key);
}

// A refusal or failure that the service put into words.
class Problem extends Error {
  constructor(document, retryAfterSeconds) {
    super(document.detail || document.title || "The service gave no reason.");
    this.title = document.title || "Something went wrong";
    this.code = document.error || "internal_error";
    this.requestId = document.request_id || "";
    this.retryAfterSeconds = retryAfterSeconds || document.retry_after || null;
    this.fields = (document.errors || []).map((error) => `${error.field} ${error.problem}`);
  }
}

// No answer came at all, or it broke off.
class Unreachable extends Error {}

const WHAT_TO_DO = {
  unauthorized: "Enter your API key under Settings.",
  identity_unavailable: "The service cannot check who you are at the moment. Ask again shortly.",
  forbidden: "This key may not do that: use another key or the user_id it belongs to, under Settings.",
  rate_limited: "You ask faster than your limit allows. Wait a little.",
  invalid_request: "Change the question and ask again.",
  payload_too_large: "Ask something shorter.",
  context_too_long: "Ask something shorter, or begin a new conversation.",
  conflict: "Another question of this conversation is being answered. Wait for it, then ask again.",
  budget_exhausted: "The question needed more steps than one may take. Ask for less at once.",
  pool_exhausted: "All agents are busy. Wait a moment and ask again.",
  circuit_breaker_open: "The language model is failing and is given a rest. Ask again when the breaker has closed.",
  shutting_down: "This process is being replaced. Ask again.",
  upstream_rate_limited: "The model's provider limits the service. Wait and ask again.",
  memory_unavailable: "Conversations cannot be stored at the moment. Ask again shortly.",
  upstream_error: "The language model failed. Ask again; if it stays so, look at the provider.",
  timeout: "It took too long. Ask again, or ask for less.",
  misconfigured: "The operator must look: the provider refuses the service's key, billing or model.",
};

function whatToDo(error) {
  if (error instanceof Unreachable) return "Is the service still running? The question is kept: ask again when it is back.";
  return WHAT_TO_DO[error.code] || "Ask again; if it stays so, tell the operator the request id.";
}

async function call(path, options = {}) {
  const key = kept.key;
  const headers = { ...(key && { Authorization: `Bearer ${key}` }), ...options.headers };
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable("The service does not answer.");
  }
  if (response.ok || options.anyStatus) return response;
  let document = {};
  try {
    document = await response.json();
  } catch {
    document = { title: `The answer was ${response.status}` };
  }
  const problem = new Problem(document, Number(response.headers.get("Retry-After")));
  if (problem.code === "unauthorized" && !options.quiet && (await hasAnotherKey(key, problem))) return call(path, options);
  throw problem;
}

const ofUser = () => `/api/v1/users/${encodeURIComponent(kept.user)}`;

async function readHistory(beforeSeq) {
  const query = new URLSearchParams({ session_id: kept.session, limit: "30" });
  if (beforeSeq) query.set("before_seq", beforeSeq);
  return (await call(`${ofUser()}/history?${query}`)).json();
}

async function readSessions(after) {
  const query = new URLSearchParams({ limit: "50", ...(after && { after }) });
  return (await call(`${ofUser()}/sessions?${query}`)).json();
}

async function eraseSession(session) {
  await call(`${ofUser()}/history?${new URLSearchParams({ session_id: session })}`, { method: "DELETE" });
}

// Server-sent events of a response, as the HTML standard (9.2.6) parses them.
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { kind: "message", data: [] };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (event.data.length) yield { kind: event.kind, data: JSON.parse(event.data.join("\n")) };
          event = { kind: "message", data: [] };
        } else if (line.startsWith("event:")) event.kind = line.slice(6).trim();
        else if (line.startsWith("data:")) event.data.push(line.slice(5).replace(/^ /, ""));
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable("The connection to the service broke off.");
  } finally {
    reader.cancel().catch(() => {});
  }
}

// The events of one question: `body` is asked at `path`. The same key asks the same question again without running it twice.
async function* ask({ path, body }, idempotencyKey, signal) {
  const response = await call(`${path}/stream`, {
    method: "POST",
    signal,
    headers: {
      "Content-Type": "application/json",
      Accept: "text/event-stream",
      "Idempotency-Key": idempotencyKey,
    },
    body: JSON.stringify({ user_id: kept.user, session_id: kept.session, ...body }),
  });
  let ended = false;
  for await (const event of eventsOf(response)) {
    ended = event.kind === "answer" || event.kind === "error";
    if (event.kind === "error") throw new Problem(event.data);
    yield event;
  }
  if (!ended) throw new Unreachable("The answer broke off.");
}
