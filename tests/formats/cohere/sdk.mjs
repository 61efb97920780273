// Asks a server by the vendor's SDK for node, and prints what came of it as JSON.
//   node sdk.mjs BASE KEY
import { CohereClientV2 } from "cohere-ai";

const [baseUrl, token] = process.argv.slice(2);
const client = new CohereClientV2({ baseUrl, token, maxRetries: 0 });
const question = [{ role: "user", content: "Which file?" }];
const parameters = { type: "object", properties: { path: { type: "string" } } };
const tools = [{ type: "function", function: { name: "read", description: "reads", parameters } }];
const how = { model: "command-a-03-2025", tools };

function folded(events) {
  const message = { role: "assistant", content: [], toolPlan: "", toolCalls: [] };
  for (const { type, index, delta } of events) {
    const said = delta?.message;
    if (type === "content-start") message.content[index] = { ...said.content };
    if (type === "content-delta") {
      for (const key of ["text", "thinking"]) {
        if (said.content[key]) message.content[index][key] += said.content[key];
      }
    }
    if (type === "tool-plan-delta") message.toolPlan += said.toolPlan;
    if (type === "tool-call-start") message.toolCalls[index] = structuredClone(said.toolCalls);
    if (type === "tool-call-delta") {
      message.toolCalls[index].function.arguments += said.toolCalls.function.arguments;
    }
  }
  return message;
}

async function streamed(messages) {
  const events = [];
  for await (const event of await client.chatStream({ ...how, messages })) events.push(event);
  return events;
}

const { message, finishReason } = await client.chat({ ...how, messages: question });
const { citations, ...whole } = message;
const first = folded(await streamed(question));
const result = { role: "tool", toolCallId: "c", content: "forty-two" };
const second = folded(await streamed([...question, first, result]));
const models = (await client.models.list()).models.map((model) => model.name);
const wrong = await new CohereClientV2({ baseUrl, token: "wrong", maxRetries: 0 })
  .chat({ ...how, messages: question })
  .catch((error) => error.statusCode);
const half = await streamed([{ role: "user", content: "break" }]);

console.log(
  JSON.stringify({
    whole,
    streamed: first,
    reason: finishReason,
    cited: citations[0].sources[0].id,
    second: second.content[0].text,
    models,
    wrong,
    broken: [folded(half).content[0].text, half.at(-1).delta.error],
  }),
);
