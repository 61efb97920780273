// Asks a server by the vendor's SDK for node, and prints what came of it as JSON.
//   node sdk.mjs BASE_URL KEY bearer|x-api-key
import Anthropic from "@anthropic-ai/sdk";

const [baseURL, key, place] = process.argv.slice(2);
const headers = place === "x-api-key" ? { "x-api-key": key, authorization: null } : {};
const client = new Anthropic({ baseURL, apiKey: key, maxRetries: 0, defaultHeaders: headers });
const question = [{ role: "user", content: "Which file?" }];
const how = {
  model: "claude-haiku-4-5",
  max_tokens: 100,
  tools: [{ name: "read", input_schema: { type: "object", properties: { path: { type: "string" } } } }],
};

const created = await client.messages.create({ ...how, messages: question });
const streamed = await client.messages.stream({ ...how, messages: question }).finalMessage();
const result = { type: "tool_result", tool_use_id: "toolu_7", content: "forty-two" };
const messages = [
  ...question,
  { role: "assistant", content: streamed.content },
  { role: "user", content: [result] },
];
const second = await client.messages.create({ ...how, messages });
const stream = client.messages.stream({ ...how, messages });
let text = "";
stream.on("text", (piece) => (text += piece));
await stream.done();
const { input_tokens: tokens } = await client.messages.countTokens({
  model: how.model,
  messages: question,
});
const models = [];
for await (const model of client.models.list()) models.push(model.id);
const wrong = await new Anthropic({ baseURL, apiKey: "wrong", maxRetries: 0 }).models
  .list()
  .catch((error) => error.status);

console.log(
  JSON.stringify({
    created: created.content,
    streamed: streamed.content,
    second: second.content[0].text,
    text,
    tokens,
    models,
    wrong,
  }),
);
