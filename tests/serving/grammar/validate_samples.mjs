// Texts from random walks through our grammars, judged by ajv (npm): node validate_samples.mjs PRINT_SAMPLES SCHEMAS
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const [printSamples, schemas] = process.argv.slice(2);
const lines = execFileSync(printSamples, [schemas, '40'], { maxBuffer: 1 << 28 }).toString().split('\n').filter(Boolean);
const validators = new Map();
const seen = new Map();
for (const line of lines) {
  const { schema, text } = JSON.parse(line);
  if (!validators.has(schema)) {
    const ajv = new Ajv({ strict: false, allErrors: true });
    addFormats(ajv);
    validators.set(schema, ajv.compile(JSON.parse(schema)));
    seen.set(schema, 0);
  }
  const validate = validators.get(schema);
  assert.ok(validate(JSON.parse(text)), `${schema}\n${text}\n${JSON.stringify(validate.errors)}`);
  seen.set(schema, seen.get(schema) + 1);
}
for (const schema of readFileSync(schemas, 'utf8').split('\n').filter(Boolean))
  assert.ok(seen.get(schema) >= 5, `only ${seen.get(schema)} texts of ${schema}`);
console.log(`${lines.length} texts of ${validators.size} schemas are valid`);
