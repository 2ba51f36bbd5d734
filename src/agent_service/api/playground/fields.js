// Programs by name: which one is asked, a form for one that takes no plain question, and outputs by name.

const programs = { all: [], chosen: null };

// A schema without its reference and without the null that says it may be left out.
function plainSchema(schema, definitions) {
  if (schema.$ref) return { ...plainSchema(definitions[schema.$ref.split("/").pop()], definitions), ...schema };
  const some = (schema.anyOf || []).filter(({ type }) => type !== "null");
  return some.length === 1 ? { ...plainSchema(some[0], definitions), ...schema } : schema;
}

function controlFor(id, schema, required) {
  const choices = schema.enum ?? (schema.const === undefined ? null : [schema.const]);
  if (choices) {
    const none = required ? [] : [element("option", { value: "" }, "\u2013")];
    const options = choices.map((choice) => element("option", { value: JSON.stringify(choice), selected: choice === schema.default }, String(choice)));
    return [element("select", { id, required }, ...none, ...options), (text) => JSON.parse(text)];
  }
  if (schema.type === "boolean") return [element("input", { id, type: "checkbox", checked: schema.default === true })];
  if (schema.type === "integer" || schema.type === "number") {
    const step = schema.type === "integer" ? "1" : "any";
    return [element("input", { id, type: "number", step, min: schema.minimum, max: schema.maximum, required, value: schema.default }), Number];
  }
  if (schema.type === "string") {
    const box = element("textarea", { id, required, rows: "2" });
    box.value = schema.default ?? "";
    return [box, (text) => text];
  }
  const box = element("textarea", { id, required, rows: "3", class: "json", spellcheck: "false", placeholder: schema.type === "array" ? "JSON: [\u2026]" : "JSON" });
  if (schema.default !== undefined && schema.default !== null) box.value = JSON.stringify(schema.default);
  return [box, (text) => JSON.parse(text)];
}

function fieldRow(name, given, definitions, isRequired) {
  const schema = plainSchema(given, definitions);
  const id = `field-${name}`;
  const required = isRequired && schema.type !== "boolean";
  const [control, read] = controlFor(id, schema, required);
  const about = schema.description ? element("small", { id: `${id}-about`, class: "hint" }, schema.description) : null;
  if (about) control.setAttribute("aria-describedby", about.id);
  control.addEventListener("input", () => control.setCustomValidity(""));
  const label = element("label", { for: id }, name, required || schema.type === "boolean" ? null : element("small", {}, " (may be left out)"));
  return { name, control, read, required, row: element("div", { class: `field ${schema.type === "boolean" ? "tick" : ""}` }, label, control, about) };
}

let rows = [];

function showFields() {
  const { inputs } = programs.chosen;
  rows = Object.entries(inputs.properties).map(([name, schema]) => fieldRow(name, schema, inputs.$defs || {}, (inputs.required || []).includes(name)));
  $("fields").replaceChildren(...rows.map(({ row }) => row));
}

// The inputs by name, or null when one cannot be read; then its field says so.
function readFields() {
  const inputs = {};
  for (const { name, control, read, required } of rows) {
    if (control.type === "checkbox") inputs[name] = control.checked;
    else if (control.value !== "" || required) {
      try {
        inputs[name] = read(control.value);
      } catch (error) {
        control.setCustomValidity(`This is not JSON: ${error.message}`);
        control.reportValidity();
        return null;
      }
    }
  }
  return inputs;
}

const firstField = () => (programs.chosen && !programs.chosen.is_plain ? rows[0]?.control : $("question"));

// What is asked of the chosen program, and where.
function asked(text) {
  const { chosen } = programs;
  if (!chosen || (chosen.is_plain && chosen.is_default)) return { path: "/api/v1/query", text, body: { question: text } };
  const path = `/api/v1/programs/${encodeURIComponent(chosen.name)}/query`;
  if (!chosen.is_plain) {
    const inputs = readFields();
    return inputs && { path, text: named(inputs), body: { inputs } };
  }
  const { properties, required = [] } = chosen.inputs;
  return { path, text, body: { inputs: { [properties.question ? "question" : required[0]]: text } } };
}

const named = (values) => Object.entries(values).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join("\n");

// An answer's text, as it is read and copied.
function textOf(answer) {
  if (answer.outputs === undefined || answer.outputs === null) return answer.answer;
  const texts = Object.entries(answer.outputs).filter(([name]) => name !== "reasoning");
  return texts.length === 1 && typeof texts[0][1] === "string" ? texts[0][1] : named(answer.outputs);
}

function shownAnswer(answer) {
  if (!answer.outputs || textOf(answer) !== named(answer.outputs)) return written(textOf(answer));
  const values = Object.entries(answer.outputs).flatMap(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, ...(typeof value === "string" ? written(value) : value !== null && typeof value === "object" ? [element("pre", { tabindex: "0" }, element("code", {}, JSON.stringify(value, null, 2)))] : [String(value)])),
  ]);
  return [element("dl", { class: "outputs" }, ...values)];
}

function choose(name) {
  programs.chosen = programs.all.find((program) => program.name === name) || programs.all[0];
  const { is_plain: isPlain, model } = programs.chosen;
  keep({ program: programs.chosen.name });
  $("program").value = programs.chosen.name;
  $("question").hidden = !isPlain;
  $("fields").hidden = isPlain;
  $("keys").textContent = isPlain ? "Enter asks, Shift+Enter breaks the line, Esc stops, / comes back here" : "Ctrl+Enter asks, Esc stops, / comes back here";
  showFields();
  if (isPlain) $("fields").replaceChildren();
  transcript.querySelector(".empty ul")?.toggleAttribute("hidden", !isPlain);
  showModel(model);
}

function showModel(model) {
  const demo = model === "offline";
  $("model").textContent = demo ? "offline demo, no model" : model;
  $("model").classList.toggle("demo", demo);
  $("model").title = demo ? "No language model is configured: rules answer. Set OPENAI_API_KEY or AGENT_MODEL." : "The model that answers";
}

async function showPrograms() {
  try {
    programs.all = (await (await call("/api/v1/programs")).json()).programs;
    $("program").replaceChildren(...programs.all.map(({ name }) => element("option", { value: name }, name)));
    $("program-label").hidden = false;
    choose(kept.program);
    if (document.activeElement === document.body) firstField().focus();
  } catch {
    $("model").textContent = "";
  }
}
