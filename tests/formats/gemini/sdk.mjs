// Asks a server by the vendor's SDK for node, and prints what came of it as JSON.
//   node sdk.mjs BASE_URL KEY
import { GoogleGenAI } from "@google/genai";

const [baseUrl, apiKey] = process.argv.slice(2);
const client = new GoogleGenAI({ apiKey, httpOptions: { baseUrl, apiVersion: "v1beta" } });
const model = "gemini-2.5-flash";
const schema = { type: "object", properties: { path: { type: "string" } } };
const functionDeclarations = [{ name: "read", description: "reads", parametersJsonSchema: schema }];
const config = { tools: [{ functionDeclarations }], thinkingConfig: { includeThoughts: true } };
const question = [{ role: "user", parts: [{ text: "Which file?" }] }];

async function streamed(contents) {
  const parts = [];
  let last;
  for await (const chunk of await client.models.generateContentStream({ model, contents, config })) {
    for (const part of chunk.candidates?.[0]?.content?.parts ?? []) parts.push(part);
    last = chunk;
  }
  const finish = last.candidates[0].finishReason;
  return { parts, finish, usage: last.usageMetadata, id: last.responseId };
}

const first = await streamed(question);
const created = await client.models.generateContent({ model, contents: question, config });
const call = first.parts.find((part) => part.functionCall).functionCall;
const functionResponse = { id: call.id, name: call.name, response: { output: "forty-two" } };
const contents = [
  ...question,
  { role: "model", parts: first.parts },
  { role: "user", parts: [{ functionResponse }] },
];
const second = await streamed(contents);
const { totalTokens: tokens } = await client.models.countTokens({ model, contents: question });
const models = [];
for await (const listed of await client.models.list()) models.push(listed.name);
const wrong = await new GoogleGenAI({ apiKey: "wrong", httpOptions: { baseUrl } }).models
  .get({ model })
  .catch((error) => error.status);
const amid = await streamed([{ role: "user", parts: [{ text: "Break!" }] }]).catch((error) => ({
  name: error.name,
  message: error.message,
}));

console.log(
  JSON.stringify({
    first,
    created: created.candidates[0].content.parts,
    second: second.parts.map((part) => part.text ?? "").join(""),
    tokens,
    models,
    wrong,
    amid,
  }),
);
