// node judge.cjs FOLDER FILE: every message of an MCAP file, read by Foxglove's own reader, held against Foxglove's own
// JSON schema of that name and against the one in the file. FOLDER: where npm installed package.json.
"use strict";
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const [folder, file] = process.argv.slice(2);
const from = createRequire(`${folder}/`);
const { McapIndexedReader } = from("@mcap/core");
const { Ajv } = from("ajv");
const theirs = Object.fromEntries(Object.values(from("@foxglove/schemas/jsonschema")).map((one) => [one.title, one]));

// Nothing that the schema does not know: an optional name that is spelt wrong would not be noticed.
function closed(schema) {
  const out = { ...schema };
  if (schema.properties) {
    out.properties = Object.fromEntries(Object.entries(schema.properties).map(([name, of]) => [name, closed(of)]));
    out.additionalProperties = false;
  }
  if (schema.items) out.items = closed(schema.items);
  return out;
}

// What Foxglove Studio's reader of JSON schemas (1.87, mcap-support) takes, in our words: where it meets anything else, a
// channel shows nothing.
function unreadable(schema, where) {
  if (schema.type === "object" && schema.properties) {
    return Object.entries(schema.properties).flatMap(([name, of]) => unreadable(of, `${where}.${name}`));
  }
  if (schema.type === "array" && schema.items && schema.items.type !== "array") return unreadable(schema.items, `${where}[]`);
  const scalar = ["boolean", "string", "number", "integer"].includes(schema.type);
  const encoded = schema.contentEncoding === undefined || (schema.contentEncoding === "base64" && !where.endsWith("[]"));
  return scalar && encoded ? [] : [`${where}: ${JSON.stringify(schema).slice(0, 80)}`];
}

// Of Foxglove's properties, those that the file's schema does not have, or has otherwise.
function lacking(whole, ours, where) {
  return Object.entries(whole.properties ?? whole.items?.properties ?? {}).flatMap(([name, of]) => {
    if (name === "metadata" || where.endsWith(".circles")) return []; // never sent
    const found = (ours.properties ?? ours.items?.properties ?? {})[name];
    const type = of.oneOf ? "integer" : of.type;
    if (!found || found.type !== type || found.contentEncoding !== of.contentEncoding) return [`${where}.${name}`];
    return lacking(of, found, `${where}.${name}`);
  });
}

async function main() {
  const bytes = readFileSync(file);
  const readable = {
    size: async () => BigInt(bytes.length),
    read: async (offset, length) => new Uint8Array(bytes.buffer, bytes.byteOffset + Number(offset), Number(length)),
  };
  const reader = await McapIndexedReader.Initialize({ readable });
  const ajv = new Ajv({ strict: false, validateFormats: false });
  const topics = {};
  const checks = new Map();
  for (const channel of reader.channelsById.values()) {
    const schema = reader.schemasById.get(channel.schemaId);
    const ours = JSON.parse(new TextDecoder().decode(schema.data));
    const known = theirs[schema.name];
    const faults = [...unreadable(ours, schema.name), ...(known ? lacking(known, ours, schema.name) : [])];
    if (schema.encoding !== "jsonschema" || channel.messageEncoding !== "json") faults.push(schema.encoding);
    if (schema.name.startsWith("foxglove.") && !known) faults.push(`${schema.name} is none of Foxglove's`);
    topics[channel.topic] = { schema: schema.name, messages: 0, violations: faults };
    checks.set(channel.id, [ajv.compile(ours), ...(known ? [ajv.compile(closed(known))] : [])]);
  }
  for await (const message of reader.readMessages({ validateCrcs: true })) {
    const content = JSON.parse(new TextDecoder().decode(message.data));
    const topic = topics[reader.channelsById.get(message.channelId).topic];
    topic.messages += 1;
    for (const check of checks.get(message.channelId)) {
      if (!check(content)) topic.violations.push(ajv.errorsText(check.errors));
    }
    if (topic.schema === "foxglove.RawImage") {
      const size = Buffer.from(content.data, "base64").length;
      if (size !== content.step * content.height) topic.violations.push(`${size} bytes`);
    }
  }
  process.stdout.write(JSON.stringify(topics));
}

main();
