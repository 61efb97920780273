// Asks a server by the vendor's client for node, and prints what came of it as JSON.
//   node sdk.mjs HOST KEY
import { Ollama } from "ollama";

const [host, key] = process.argv.slice(2);
const headers = { authorization: `Bearer ${key}` };
const client = new Ollama({ host, headers });
const question = [{ role: "user", content: "Which file?" }];
const parameters = { type: "object", properties: { path: { type: "string" } } };
const tools = [{ type: "function", function: { name: "read", description: "reads", parameters } }];
const how = { model: "m", tools, think: true };

const { message: whole, ...last } = await client.chat({ ...how, messages: question });
const message = { role: "assistant", content: "", thinking: "", tool_calls: [] };
let done;
for await (const part of await client.chat({ ...how, messages: question, stream: true })) {
  message.content += part.message.content;
  message.thinking += part.message.thinking ?? "";
  message.tool_calls.push(...(part.message.tool_calls ?? []));
  done = part;
}
const result = { role: "tool", content: "forty-two", tool_name: "read" };
const messages = [...question, message, result];
const second = await client.chat({ ...how, messages });
let text = "";
for await (const part of await client.chat({ ...how, messages, stream: true })) {
  text += part.message.content;
}
const generated = await client.generate({ model: "m", prompt: "Which file?" });
const models = (await client.list()).models.map((model) => model.name);
const running = (await client.ps()).models.map((model) => model.name);
const { capabilities } = await client.show({ model: "m" });
const { version } = await client.version();
const wrong = await new Ollama({ host, headers: { authorization: "Bearer wrong" } })
  .list()
  .catch((error) => error.message);
const broken = await (async () => {
  let heard = "";
  try {
    const messages = [{ role: "user", content: "break" }];
    for await (const part of await client.chat({ model: "m", messages, stream: true })) {
      heard += part.message.content;
    }
  } catch (error) {
    return [heard, error.message];
  }
})();

console.log(
  JSON.stringify({
    whole,
    message,
    last,
    done,
    second: second.message.content,
    text,
    generated: generated.response,
    models,
    running,
    capabilities,
    version,
    wrong,
    broken,
  }),
);
