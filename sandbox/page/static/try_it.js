// The form that posts samples, and the steps from the door to the profile.

import { call } from "./api.js";
import { at, badge, complain, el, fill, icon, kindOf, say, time } from "./dom.js";

const PARTNERS = { outgrow: "Outgrow", iterate: "Iterate", quikly: "Quikly" };

// The fields that identify an answer (design §3). An "id" does so at the top and in the answer's
// envelope; deeper it identifies a person, a survey or a question.
const IDENTITIES = new Set(["response_id", "submission_id", "event_id", "idempotency_key", "dispatch_id"]);
const ENVELOPES = new Set(["survey_response"]);
const TIMES = new Set(["created_at", "createdAt", "submitted_at", "occurred_at", "completed_at", "given_at"]);
const FOLLOWED_MS = 1500;
const SLOW_SECONDS = 20;

const form = at("try-form");
const fields = { sample: at("sample"), path: at("path"), token: at("token"), body: at("body"), fresh: at("fresh") };

/** @type {Map<string, {id: string, description: string, path: string, token: string, status: number, body: string|null, bytes: number}>} */
let samples = new Map();
let announced = "";
/** The status of acquisitions, by id. */
const acquisitions = new Map();

/** @param {{refresh: () => void, show: (id: string) => void}} page */
export async function setUp(page) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(page);
  });
  fields.sample.addEventListener("change", () => choose(fields.sample.value));
  samples = new Map((await call("samples")).map((sample) => [sample.id, sample]));
  const groups = grouped(samples.values());
  fields.sample.append(
    ...[...groups].map(([partner, its]) =>
      el("optgroup", { label: PARTNERS[partner] ?? partner },
        ...its.map((sample) => el("option", { value: sample.id }, titleOf(sample))))),
  );
  const first = [...samples.keys()].find((id) => id === "outgrow/quiz_flat") ?? fields.sample.value;
  fields.sample.value = first;
  choose(first);
}

function grouped(all) {
  const groups = new Map();
  for (const sample of all) {
    const partner = sample.id.split("/")[0];
    groups.set(partner, [...(groups.get(partner) ?? []), sample]);
  }
  return groups;
}

function titleOf(sample) {
  const words = sample.id.split("/")[1].replaceAll("_", " ");
  const name = words[0].toUpperCase() + words.slice(1);
  return sample.status < 400 ? name : `${name} (refused: ${sample.status})`;
}

function offer(sample) {
  say(at("sample-hint"), sample.description);
  fields.path.value = sample.path;
  fields.token.value = sample.token;
  const hidden = sample.body === null;
  fields.body.disabled = fields.path.disabled = fields.token.disabled = hidden;
  at("body-hint").hidden = !hidden;
  say(at("body-hint"), hidden ? `Posted as it is: ${sample.bytes.toLocaleString()} bytes that do not show as text here.` : "");
  fields.body.value = hidden ? "" : fields.fresh.checked && sample.status < 400 ? renewed(sample.body) : pretty(sample.body);
}

/** An object, unless JavaScript would write it otherwise: with huge numbers, or a key twice. */
function read(text) {
  try {
    const value = JSON.parse(text);
    const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
    const dense = text.replaceAll(/("(?:[^"\\]|\\.)*")|\s+/g, "$1");
    return isObject && JSON.stringify(value).length === dense.length ? value : null;
  } catch {
    return null;
  }
}

function pretty(text) {
  const value = read(text);
  return value === null ? text : JSON.stringify(value, null, 2);
}

/**
 * Gives an answer a new identity and time: an answer that was seen before counts only once.
 * @param {string} text a JSON object; anything else stays as it is
 */
export function renewed(text) {
  const value = read(text);
  return value === null ? text : JSON.stringify(renew(value, true), null, 2);
}

// Lists stay as they are: the answers of a survey have ids and times of their own, in an order.
function renew(value, isEnvelope) {
  if (Array.isArray(value) || value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => {
    const names = IDENTITIES.has(key) || (key === "id" && isEnvelope);
    if (names && typeof item === "string") return [key, `${item.replace(/-try[0-9a-f]{6}$/, "")}-try${chance()}`];
    if (names && Number.isInteger(item)) return [key, item + Math.floor(Math.random() * 1e9)];
    if (TIMES.has(key) && typeof item === "string" && /^\d{4}-/.test(item)) return [key, new Date().toISOString()];
    if (TIMES.has(key) && Number.isInteger(item)) return [key, Math.floor(Date.now() / (item > 1e11 ? 1 : 1000))];
    return [key, renew(item, ENVELOPES.has(key))];
  }));
}

const chance = () => Math.floor(Math.random() * 0x1000000).toString(16).padStart(6, "0");

/** Makes a profile for a sample that names a person by an id that only Braze knows. */
async function choose(id) {
  let sample = samples.get(id);
  complain(at("try-error"), null);
  if (sample?.needs_profile) {
    try {
      sample = await call("samples", { id });
    } catch (error) {
      complain(at("try-error"), error.message);
    }
  }
  if (sample && fields.sample.value === id) offer(sample);
}

async function send(page) {
  const button = form.querySelector("button[type=submit]");
  const sample = samples.get(fields.sample.value);
  const isHidden = fields.body.disabled;
  const wanted = isHidden
    ? { sample: sample.id }
    : { path: fields.path.value.trim(), token: fields.token.value, body: fields.body.value };
  complain(at("try-error"), null);
  button.disabled = true;
  try {
    const answer = await call("try", wanted);
    say(at("announcer"), doorText(answer.status));
    // The body that was just posted stays visible in the answer; the next one is another answer.
    if (!isHidden && fields.fresh.checked && answer.status < 400) {
      fields.body.value = renewed(fields.body.value);
    }
    page.refresh();
  } catch (error) {
    complain(at("try-error"), error.message);
  } finally {
    button.disabled = false;
  }
}

const doorText = (status) => (status < 400 ? `The bridge answered ${status}: accepted.` : `The bridge refused it with ${status}.`);

const STATES = {
  refused: ["bad", "cross", "refused by the bridge"],
  answered: ["", "minus", "answered"],
  waiting: ["warn", "wait", "waiting"],
  retrying: ["warn", "again", "being retried"],
  rejected: ["bad", "cross", "rejected by Braze"],
  under_way: ["warn", "wait", "under way"],
  taken: ["warn", "wait", "taken by Braze"],
  arrived: ["good", "check", "arrived"],
};

/** @param {any} live @param {{show: (id: string) => void}} page */
export function draw(live, page) {
  const [latest, ...earlier] = live.tries;
  const data = latest && [latest, earlier, age(latest, live.now), acquisitionOf(latest)];
  fill(at("journey-body"), data ?? null, () =>
    latest
      ? [head(latest), steps(latest, live, page), ...before(earlier)]
      : [el("p.empty", {}, "Post a sample: each step from the door to the profile shows here as it happens.")]);
  if (latest) announce(latest);
}

function age(attempt, now) {
  return ["waiting", "retrying", "answered"].includes(attempt.state) ? now - attempt.at > SLOW_SECONDS : null;
}

function head(attempt) {
  return el("p.journey-head", {}, badge(...(ENDS[acquisitionOf(attempt)?.state] ?? STATES[attempt.state])), el("code", {}, attempt.path), el("span.hint", {}, time(attempt.at)));
}

function step(kind, sign, title, ...more) {
  return el("li", {}, el(`span.dot${kind ? `.${kind}` : ""}`, {}, icon(sign)), el("strong", {}, title), ...more);
}

const more = (...children) => el("p.more", {}, ...children);

function steps(attempt, live, page) {
  const list = [door(attempt)];
  const isJob = !["refused", "answered"].includes(attempt.state);
  if (isJob) {
    const waits = attempt.state === "waiting";
    list.push(step(waits ? "warn" : "good", waits ? "wait" : "check",
      waits ? "Waiting in the queue" : "Left the queue",
      waits && age(attempt, live.now)
        ? more("This takes longer than usual. An answer that was posted before is not sent again. Or the gate is closed: see “Limits and gate”.")
        : null));
  }
  list.push(...attempt.requests.map((row, index) => requestStep(row, index + 1 < attempt.requests.length)));
  if (attempt.state === "answered" && attempt.path.endsWith("/webhook") && age(attempt, live.now)) {
    list.push(step("", "check", "Nothing new for Braze", more("A person who claimed before gets the same answer, and nothing is sent again: change the e-mail address.")));
  }
  if (attempt.state === "taken") list.push(step("warn", "wait", "Taken by Braze", more("It shows on the profile in a moment.")));
  if (attempt.state === "rejected") list.push(step("bad", "cross", "Braze refused this object", more("It is kept with Braze's reason in the rejected table: ", el("code", {}, "bridge rejected list"), ".")));
  if (attempt.state === "arrived") list.push(arrival(attempt, page));
  const acquisition = acquisitionOf(attempt);
  if (acquisition) list.push(acquisitionStep(acquisition));
  return el("ol.steps", {}, ...list);
}

function door(attempt) {
  const isFine = attempt.status < 400;
  return step(isFine ? "good" : "bad", isFine ? "check" : "cross",
    isFine ? "Accepted by the bridge" : "Refused by the bridge",
    more(`${attempt.status} in ${Math.round(attempt.ms)} ms`, attempt.job_id ? " · job " : "", attempt.job_id ? el("code", {}, attempt.job_id) : null),
    attempt.job_id ? null : el("pre", {}, prettyAnswer(attempt.answer)));
}

function prettyAnswer(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function requestStep(row, wasRetried) {
  const again = wasRetried ? "so it was tried again" : "it will be tried again";
  const call = `${row.method} ${row.path}`;
  if (row.status === 0) {
    return row.ms === null
      ? step("warn", "wait", `Request ${row.n}: no answer yet`, more(call))
      : step("bad", "again", `Request ${row.n}: connection lost, ${again}`, more(call));
  }
  const isFine = row.status < 300;
  return isFine
    ? step("good", "check", `Request ${row.n}: ${row.status}`, more(`${call} · ${took(row)}`))
    : step("bad", "again", `Request ${row.n}: ${row.status}, ${again}`, more(`${call} · ${took(row)}`, row.met_fault ? " · a fault you switched on" : ""));
}

const took = (row) => `answered in ${row.ms < 10 ? row.ms : Math.round(row.ms)} ms`;

function arrival(attempt, page) {
  return step("good", "check", "On the profile",
    el("dl.values", {},
      ...attributesOf(attempt).map(({ name, value }) => arrived(name, el("span.value", {}, JSON.stringify(value)), kindOf(value))),
      ...eventsOf(attempt).map(([name, count]) => arrived(name, null, count === 1 ? "event" : `${count} events`))),
    el("button.small", { type: "button", "data-key": "show", onclick: () => page.show(attempt.values[0].braze_id) }, "Show the profile"));
}

const arrived = (name, value, kind) => el("div", {}, el("dt", {}, name), el("dd", {}, value, el("span.badge.kind", {}, kind)));

const attributesOf = (attempt) => attempt.values.filter(({ kind }) => kind === "attribute");

/** Events by name, with how many there are of each. */
function eventsOf(attempt) {
  const counts = new Map();
  for (const { kind, name } of attempt.values) {
    if (kind === "event") counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts];
}

function before(earlier) {
  if (!earlier.length) return [];
  return [el("div.earlier", {}, el("h3", {}, "Earlier posts"), el("ul.plain", {}, ...earlier.map((attempt) =>
    el("li", {}, badge(...STATES[attempt.state]), el("span.hint", {}, time(attempt.at)), el("code", {}, attempt.path)))))];
}

function announce(attempt) {
  const failed = attempt.requests.filter((row) => row.status >= 300 || (row.status === 0 && row.ms !== null)).length;
  const print = `${attempt.k} ${attempt.state} ${failed}`;
  if (print === announced) return;
  announced = print;
  if (attempt.state === "arrived") {
    const values = attributesOf(attempt).map(({ name, value }) => `${name} as ${kindOf(value)} ${JSON.stringify(value)}`);
    const events = eventsOf(attempt).map(([name, count]) => `${count} ${name}`);
    say(at("announcer"), `Arrived: ${[...values, ...events].join(", ")}.`);
  } else if (attempt.state === "retrying") {
    say(at("announcer"), `Braze refused the request; it is being tried again.`);
  } else if (attempt.state === "rejected") {
    say(at("announcer"), "Braze refused this object for good.");
  }
}

// -- acquisitions: the bridge itself answers with their state ---------------------------------------

const ENDS = {
  credited: ["good", "check", "credited"],
  failed: ["bad", "cross", "failed"],
  expired: ["bad", "cross", "expired"],
};

function acquisitionId(attempt) {
  try {
    return attempt.path.endsWith("/acquisitions") ? JSON.parse(attempt.answer).acquisition_id : undefined;
  } catch {
    return undefined;
  }
}

function acquisitionOf(attempt) {
  const id = acquisitionId(attempt);
  if (!id) return null;
  const known = acquisitions.get(id) ?? { asked: 0, value: null };
  acquisitions.set(id, known);
  if (!(known.value?.state in ENDS) && Date.now() - known.asked > FOLLOWED_MS) {
    known.asked = Date.now();
    call("try", { path: `${attempt.path}/${id}`, method: "GET" }).then(
      (answer) => { known.value = answer.status === 200 ? JSON.parse(answer.body) : known.value; },
      () => {}, // the next poll asks again
    );
  }
  return known.value;
}

function acquisitionStep(value) {
  const steps = (value.history ?? []).map((each) => el("li", {}, [each.step, each.detail].filter(Boolean).join(": ")));
  const [kind, sign] = ENDS[value.state] ?? ["warn", "wait"];
  return step(kind, sign, `Acquisition: ${String(value.state).replaceAll("_", " ")}`,
    value.reason ? more(value.reason) : null, el("ul.plain.lines", {}, ...steps));
}
