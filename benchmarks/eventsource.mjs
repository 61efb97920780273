// eventsource-parser under node, driven by decoders.py: the pieces of a stream come on stdin, each
// preceded by its length in four bytes. Prints a line of JSON: the CPU microseconds of each pass, and
// the text.
//
//     node eventsource.mjs SECONDS
//
// As documented: createParser({onEvent}), fed with the bytes as decoded by a TextDecoder.

import { readFileSync } from "node:fs";
import { createParser } from "eventsource-parser";

const input = readFileSync(0);
const pieces = [];
for (let at = 0; at < input.length; ) {
  const size = input.readUInt32BE(at);
  pieces.push(input.subarray(at + 4, at + 4 + size));
  at += 4 + size;
}

function decode() {
  let text = "";
  const decoder = new TextDecoder();
  const parser = createParser({
    onEvent({ data }) {
      if (data !== "[DONE]") text += JSON.parse(data).choices[0].delta.content;
    },
  });
  for (const piece of pieces) parser.feed(decoder.decode(piece, { stream: true }));
  return text;
}

const budget = Number(process.argv[2]) * 1e6;
const passes = [];
let text = decode(); // warms up
let spent = 0;
while (passes.length < 3 || (passes.length < 100 && spent < budget)) {
  const before = process.cpuUsage();
  text = decode();
  const { user, system } = process.cpuUsage(before);
  passes.push(user + system);
  spent += user + system;
}
console.log(JSON.stringify({ passes, text }));
