// The stand-in's control routes.

const ROOT = "/_sandbox/";
const WAIT_MS = 35_000; // over the 32 s that the stand-in itself waits for the stack's API

/** An answer that is no success; its message is a sentence for people. */
export class Refused extends Error {}

/**
 * @param {string} route
 * @param {unknown} [body] posted as JSON where given
 * @param {string} [method]
 */
export async function call(route, body, method = body === undefined ? "GET" : "POST") {
  const answer = await fetch(ROOT + route, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    signal: AbortSignal.timeout(WAIT_MS),
  });
  const value = await answer.json();
  if (!answer.ok) {
    const reasons = (value?.errors ?? []).map((each) => [each.field, each.reason].filter(Boolean).join(": "));
    throw new Refused(reasons.join("; ") || `The stand-in answered ${answer.status}.`);
  }
  return value;
}
