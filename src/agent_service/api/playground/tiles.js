// The service's own figures, read from its health report and its metrics.

const EVERY_MS = 3000;
let before = null;

function samplesOf(exposition) {
  const samples = [];
  for (const line of exposition.split("\n")) {
    const found = /^([a-z_:]+)(?:\{(.*)\})? (\S+)/i.exec(line);
    if (found) samples.push({ name: found[1], labels: found[2] || "", value: Number(found[3]) });
  }
  return samples;
}

function total(samples, name) {
  const values = samples.filter((sample) => sample.name === name).map((sample) => sample.value);
  return values.length ? values.reduce((sum, value) => sum + value, 0) : null;
}

function bucketsOf(samples, name) {
  const buckets = new Map();
  for (const { name: found, labels, value } of samples) {
    if (found !== `${name}_bucket`) continue;
    const text = /le="([^"]+)"/.exec(labels)[1];
    const upper = text === "+Inf" ? Infinity : Number(text);
    buckets.set(upper, (buckets.get(upper) || 0) + value);
  }
  return buckets;
}

// As Prometheus' histogram_quantile: linear within the bucket that holds the rank.
function quantile(rank, buckets, earlier) {
  const uppers = [...buckets.keys()].sort((a, b) => a - b);
  const counts = uppers.map((upper) => buckets.get(upper) - (earlier?.get(upper) || 0));
  const all = counts.at(-1);
  if (!all) return null;
  const place = counts.findIndex((count) => count >= rank * all);
  const lower = place ? uppers[place - 1] : 0;
  if (uppers[place] === Infinity) return lower;
  const below = place ? counts[place - 1] : 0;
  return lower + ((uppers[place] - lower) * (rank * all - below)) / (counts[place] - below);
}

function tile(name, text, mood = "") {
  const shown = $(`tile-${name}`);
  shown.textContent = text;
  shown.className = mood;
}

function showHealth(health) {
  const moods = { healthy: "good", degraded: "warn", unhealthy: "bad", closed: "good", half_open: "warn", open: "bad" };
  tile("status", health.status, moods[health.status]);
  $("tile-status").title = Object.entries(health.checks || {}).map(([check, state]) => `${check}: ${state}`).join("\n");
  tile("breaker", (health.circuit_breaker_state || "?").replace("_", " "), moods[health.circuit_breaker_state]);
  const memory = health.checks?.memory;
  if (health.status === "unhealthy" && health.circuit_breaker_state === "open") {
    banner("The language model is failing; the circuit breaker is open. The service tries it again by itself.");
  } else if (memory && memory !== "ok") banner(`Conversations: ${memory}. Answers may not be remembered.`);
  else banner("");
}

function showMetrics(samples, now) {
  const number = (value) => (value === null ? "\u2013" : String(Math.round(value)));
  const size = total(samples, "agent_pool_size");
  tile("pool", `${number(total(samples, "agent_pool_in_use"))} / ${number(size)}`);
  tile("waiting", number(total(samples, "agent_pool_waiting")));
  const requests = total(samples, "agent_requests_total") || 0;
  const buckets = bucketsOf(samples, "agent_latency_seconds");
  if (before && requests >= before.requests) {
    const rate = ((requests - before.requests) * 1000) / (now - before.at);
    tile("rate", rate === 0 ? "0" : rate.toFixed(rate < 10 ? 1 : 0));
  }
  const seconds = quantile(0.95, buckets, before?.buckets) ?? quantile(0.95, buckets);
  tile("latency", seconds === null ? "\u2013" : duration(seconds * 1000));
  before = { requests, buckets: before && now - before.at < 20000 ? before.buckets : buckets, at: now };
}

let wasAway = false;

function banner(text) {
  if ($("banner").textContent === text) return;
  $("banner").textContent = text;
  $("banner").hidden = !text;
}

async function look() {
  if (document.hidden) return;
  try {
    const health = await (await call("/api/v1/health", { anyStatus: true })).json();
    if (wasAway) announce("The service is back.");
    wasAway = false;
    showHealth(health);
  } catch {
    wasAway = true;
    before = null;
    banner("The service does not answer. Trying again every few seconds; your question is kept.");
    for (const name of ["breaker", "pool", "waiting", "rate", "latency"]) tile(name, "\u2013");
    tile("status", "gone", "bad");
    return;
  }
  try {
    const response = await call("/api/v1/metrics", { quiet: true });
    showMetrics(samplesOf(await response.text()), performance.now());
  } catch {
    for (const name of ["pool", "waiting", "rate", "latency"]) tile(name, "\u2013");
  }
}

async function keepLooking() {
  await look();
  setTimeout(keepLooking, EVERY_MS);
}
