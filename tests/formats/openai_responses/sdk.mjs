// Asks a server by the vendor's SDK for node, and prints what came of it as JSON.
//   node sdk.mjs BASE_URL KEY
import OpenAI, { AzureOpenAI } from "openai";

const [baseURL, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: key, maxRetries: 0 });
const question = [{ role: "user", content: "Which file?" }];
const tools = [
  {
    type: "function",
    name: "read",
    strict: false,
    parameters: { type: "object", properties: { path: { type: "string" } } },
  },
];
const how = { model: "gpt-6.1-terra", tools, store: false, include: ["reasoning.encrypted_content"] };

const created = await client.responses.create({ ...how, input: question });
const kinds = [];
for await (const event of await client.responses.create({ ...how, input: question, stream: true }))
  kinds.push(event.type);
const streamed = await client.responses.stream({ ...how, input: question }).finalResponse();
const result = { type: "function_call_output", call_id: "call_7", output: "forty-two" };
const input = [...question, ...streamed.output, result];
const second = await client.responses.create({ ...how, input });
const stream = client.responses.stream({ ...how, input });
let text = "";
stream.on("response.output_text.delta", ({ delta }) => (text += delta));
await stream.finalResponse();
const models = [];
for await (const model of client.models.list()) models.push(model.id);
const wrong = await new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models
  .list()
  .catch((error) => error.status);
const azure = await new AzureOpenAI({ baseURL, apiKey: key, apiVersion: "v1", maxRetries: 0 }).responses.create({
  ...how,
  input,
});
const failed = await client.responses
  .stream({ ...how, input: "break" })
  .finalResponse()
  .catch((error) => error.message);

console.log(
  JSON.stringify({
    created: created.output,
    streamed: streamed.output,
    kinds,
    second: second.output_text,
    text,
    models,
    wrong,
    azure: azure.output_text,
    failed,
  }),
);
