// Asks with both of Node's own clients: fetch, and http with a body in chunks that waits for the word to go on.
import { request } from "node:http";

const [url, body] = process.argv.slice(2);
const headers = { "content-type": "application/json" };

const fetched = await fetch(url, { method: "POST", headers, body });
console.log(fetched.status, await fetched.text());

await new Promise((resolve, reject) => {
  const asked = request(url, { method: "POST", headers: { ...headers, expect: "100-continue" } }, (answer) => {
    let said = "";
    answer.setEncoding("utf8");
    answer.on("data", (part) => (said += part));
    answer.on("end", () => resolve(console.log(answer.statusCode, said)));
  });
  asked.on("error", reject);
  asked.on("continue", () => {
    asked.write(body.slice(0, 10));
    asked.end(body.slice(10));
  });
});
