// Asks in one way of one client, as the arguments say, and prints what came back as one line of JSON.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import OpenAI from "openai";

const [baseURL, client, action, ...said] = process.argv.slice(2);
const model = action === "missing" ? "gpt-none" : "default";
const messages = said.map((content, at) => ({ role: at % 2 ? "assistant" : "user", content }));
const abort = new AbortController();

const sdk = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
const models = {
  "ai-chat": () => createOpenAI({ baseURL, apiKey: "any" }).chat(model),
  "ai-responses": () => createOpenAI({ baseURL, apiKey: "any" }).responses(model),
  "ai-compatible": () => createOpenAICompatible({ name: "service", baseURL, includeUsage: true }).chatModel(model),
};

const plain = {
  "openai-chat": async () => {
    const answer = await sdk.chat.completions.create({ model, messages });
    return { text: answer.choices[0].message.content, tokens: answer.usage.total_tokens };
  },
  "openai-responses": async () => {
    const answer = await sdk.responses.create({ model, input: messages });
    return { text: answer.output_text, tokens: answer.usage.total_tokens };
  },
};

const pieces = {
  "openai-chat": async function* (tell) {
    const usage = { include_usage: true };
    const chunks = await sdk.chat.completions.create(
      { model, messages, stream: true, stream_options: usage },
      { signal: abort.signal },
    );
    for await (const chunk of chunks) {
      if (chunk.usage) tell(chunk.usage.total_tokens);
      else if (chunk.choices[0].delta.content) yield chunk.choices[0].delta.content;
    }
  },
  "openai-responses": async function* (tell) {
    const stream = await sdk.responses.create({ model, input: messages, stream: true }, { signal: abort.signal });
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") yield event.delta;
      if (event.type === "response.completed") tell(event.response.usage.total_tokens);
    }
  },
};

async function generated() {
  const answer = await generateText({ model: models[client](), messages, maxRetries: 0 });
  return { text: answer.text, tokens: answer.usage.totalTokens };
}

async function* streamed(tell) {
  let failure;
  const answer = streamText({
    model: models[client](),
    messages,
    maxRetries: 0,
    abortSignal: abort.signal,
    onError: ({ error }) => (failure = error),
  });
  yield* answer.textStream;
  if (failure) throw failure;
  tell((await answer.usage).totalTokens);
}

/** The answer of the first response goes back as the client keeps it. */
async function goOn() {
  const first = await generateText({ model: models[client](), messages: messages.slice(0, 1), maxRetries: 0 });
  const history = [messages[0], ...first.response.messages, messages[2]];
  const answer = await generateText({ model: models[client](), messages: history, maxRetries: 0 });
  return { text: answer.text, tokens: answer.usage.totalTokens };
}

async function readPieces(limit) {
  let tokens = 0;
  const read = [];
  try {
    for await (const piece of (pieces[client] ?? streamed)((total) => (tokens = total))) {
      read.push(piece);
      if (read.length === limit) abort.abort();
    }
  } catch (error) {
    if (!abort.signal.aborted) throw error;
  }
  return { pieces: read, tokens };
}

async function act() {
  if (action === "stream") return readPieces();
  if (action === "leave") return readPieces(1);
  if (action === "go-on") return goOn();
  return (plain[client] ?? generated)();
}

try {
  console.log(JSON.stringify(await act()));
} catch (error) {
  const status = error.status ?? error.statusCode;
  console.log(JSON.stringify({ error: error.constructor.name, status, message: error.message }));
}
