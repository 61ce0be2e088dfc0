// GitHub's own parser and expression engine, one question and one answer a line.
//   {"parse": TEXT, "name": FILE}                          -> {"errors": [...]}
//   {"evaluate": EXPRESSION, "context": {...}, "status": {"ok": BOOL, "failed": BOOL, "cancelled": BOOL}} -> {"value": ..., "text": "...", "true": BOOL}
import {register} from 'node:module';
import {createInterface} from 'node:readline';
register('./json.mjs', import.meta.url);
const {convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow} = await import('@actions/workflow-parser');
const {data, Evaluator, Lexer, Parser} = await import('@actions/expressions');
const {truthy} = await import('@actions/expressions/result');

const wrap = value => value === null || value === undefined ? new data.Null()
  : typeof value === 'string' ? new data.StringData(value)
  : typeof value === 'number' ? new data.NumberData(value)
  : typeof value === 'boolean' ? new data.BooleanData(value)
  : Array.isArray(value) ? new data.Array(...value.map(wrap))
  : new data.Dictionary(...Object.entries(value).map(([key, each]) => ({key, value: wrap(each)})));

async function parse(name, content) {
  const found = parseWorkflow({name, content}, new NoOperationTraceWriter());
  const errors = found.context.errors.getErrors().map(error => error.message);
  if (errors.length) return errors;
  const converted = await convertWorkflowTemplate(found.context, found.value);
  return (converted.errors ?? []).map(error => error.Message ?? error.message);
}

function evaluate(expression, context, status) {
  const said = {success: status.ok, failure: status.failed, always: true, cancelled: status.cancelled};
  const functions = Object.entries(said).map(([name, value]) => (
    {name, minArgs: 0, maxArgs: 0, call: () => new data.BooleanData(value)}));
  const tree = new Parser(new Lexer(expression).lex().tokens, Object.keys(context), functions).parse();
  const result = new Evaluator(tree, wrap(context), new Map(functions.map(one => [one.name, one]))).evaluate();
  return {value: JSON.parse(JSON.stringify(result, data.replacer)), text: result.coerceString(), true: truthy(result)};
}

for await (const line of createInterface({input: process.stdin})) {
  let answer;
  try {
    const asked = JSON.parse(line);
    answer = 'parse' in asked ? {errors: await parse(asked.name, asked.parse)}
      : evaluate(asked.evaluate, asked.context, asked.status);
  } catch (error) {
    answer = {failed: error.message};
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
