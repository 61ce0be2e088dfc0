// node score.mjs CASES.json: runs each model on its rows in onnxruntime-node, and prints the scores as JSON.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const ort = createRequire(`${process.env.MODULES}/`)("onnxruntime-node");
const found = {};
for (const one of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const session = await ort.InferenceSession.create(one.model, { intraOpNumThreads: 1 });
  const feeds = {};
  if (one.numbers) {
    const values = Float64Array.from(one.numbers.flat(), (value) => (value === null ? NaN : value));
    feeds.features = new ort.Tensor("float64", values, [one.numbers.length, one.numbers[0].length]);
  }
  if (one.texts) {
    feeds.categories = new ort.Tensor("string", one.texts.flat(), [one.texts.length, one.texts[0].length]);
  }
  const answer = (await session.run(feeds))[session.outputNames[0]];
  found[one.name] = Array.from(answer.data);
}
console.log(JSON.stringify(found));
