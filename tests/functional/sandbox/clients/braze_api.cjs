// Makes calls with npm's `braze-api`, unmodified. Started in the folder of the packages.
// Arguments: base URL, key. Standard input: [[method, argument]]. Output: [{answer} or {error}].

const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const { Braze } = createRequire(`${process.cwd()}/`)("braze-api");

async function main() {
  const client = new Braze(process.argv[2], process.argv[3]);
  const outcomes = [];
  for (const [method, argument] of JSON.parse(readFileSync(0, "utf-8"))) {
    const call = method.split(".").reduce((part, name) => part[name], client);
    try {
      outcomes.push({ answer: await call(argument) });
    } catch (error) {
      outcomes.push({ error: `${error.constructor.name} ${error.status}: ${error.message}` });
    }
  }
  console.log(JSON.stringify(outcomes));
}

main();
