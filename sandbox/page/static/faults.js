// Limits, gates and faults, and the buttons that change them.

import { call } from "./api.js";
import { at, badge, complain, el, fill, say } from "./dom.js";

const TRACK = "/users/track";
const PRESETS = [
  ["Braze is down", "503, three calls", { path: TRACK, times: 3, status: 503 }],
  ["Too many requests", "429 for 5 s", { path: TRACK, times: 1, status: 429, headers: { "X-Ratelimit-Retry-After": "5" } }],
  ["Random errors", "500, a third of all calls", { path: TRACK, share: 0.33, status: 500 }],
  ["Slow", "one answer after 4 s", { path: TRACK, times: 1, delay_ms: 4000 }],
  ["Connection lost", "after processing, once", { path: TRACK, times: 1, reset: "after" }],
  ["A bad object", "one object is refused", { path: TRACK, times: 1, errors: [{ input_array: "attributes", index: 0, type: "refused by a fault of the sandbox" }] }],
];
const GATES = { all: "The key, for everything" };
const LIMITS = {
  "users.track": "Track users",
  "users.export.ids": "Export profiles",
  "subscription.status.set": "Set subscriptions",
  users: "Aliases, identify, merge, delete",
  default: "Everything else",
};

/** @param {{refresh: () => void}} page */
export function setUp(page) {
  const run = (work) => async (event) => {
    event?.preventDefault();
    complain(at("fault-error"), null);
    try {
      await work();
      page.refresh();
    } catch (error) {
      complain(at("fault-error"), error.message);
    }
  };
  at("fault-presets").append(...PRESETS.map(([title, text, fault]) =>
    el("li", {}, el("button", { type: "button", onclick: run(() => call("faults", fault)) }, title, el("span", {}, text)))));
  at("fault-form").addEventListener("submit", run(() => call("faults", ownFault())));
  at("fault-mode").addEventListener("change", (event) => {
    say(document.querySelector("label[for=fault-amount]"), event.target.value === "share" ? "Per cent" : "How many");
  });
  at("faults-clear").addEventListener("click", run(() => call("faults", undefined, "DELETE")));
  at("limit-tight").addEventListener("click", run(() => call("settings", { limits: { [TRACK]: [2, 10] } })));
  at("limit-none").addEventListener("click", run(() => call("settings", { limits: {} })));
  const dialog = at("reset-dialog");
  at("reset").addEventListener("click", () => dialog.showModal());
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "reset") run(() => call("reset", {}))();
    dialog.returnValue = "";
  });
  openGate = (name) => run(() => call("gate", { open: name }));
}

let openGate = () => () => {};

function ownFault() {
  const amount = Number(at("fault-amount").value);
  const fault = { path: at("fault-path").value.trim() };
  if (at("fault-mode").value === "share") fault.share = amount / 100;
  else fault.times = amount;
  if (at("fault-match").value) fault.match = at("fault-match").value;
  if (at("fault-status").value) fault.status = Number(at("fault-status").value);
  if (at("fault-delay").value) fault.delay_ms = Number(at("fault-delay").value);
  if (at("fault-reset").value) fault.reset = at("fault-reset").value;
  return fault;
}

/** @param {any} live @param {any[]|null} gates null where there is no stack */
export function draw(live, gates) {
  fill(at("fault-list"), live.faults, () => (live.faults.length ? live.faults.map(faultLine) : [el("li.empty", {}, "None.")]));
  const isEnforced = live.limits.some((limit) => limit.is_enforced);
  say(at("limits-hint"), isEnforced ? "Limits marked as enforced hold; the others only show what Braze documents." : "As Braze documents them; not enforced until you set one.");
  fill(at("limits-list"), [live.limits, Math.floor(live.now)], () => live.limits.map((limit) => limitLine(limit, live.now)));
  drawGates(live, gates);
}

function faultLine(fault) {
  const often = fault.share === undefined ? `${fault.times} more ${fault.times === 1 ? "call" : "calls"}` : `${Math.round(fault.share * 100)} % of calls`;
  const what = [
    fault.status ? `status ${fault.status}` : null,
    fault.delay_ms ? `${fault.delay_ms} ms late` : null,
    fault.reset ? `connection reset ${fault.reset} processing` : null,
    fault.errors?.length ? `${fault.errors.length} object refused` : null,
    fault.match ? `only with “${fault.match}”` : null,
  ].filter(Boolean).join(", ");
  return el("li", {}, el("div.line", {}, el("code", {}, fault.path), badge("warn", "bolt", often)), el("span.hint", {}, what));
}

function limitLine(limit, now) {
  const seconds = Math.max(Math.ceil(limit.resets_at - now), 0);
  const left = `${limit.remaining.toLocaleString()} of ${limit.requests.toLocaleString()} left in ${limit.seconds.toLocaleString()} s`;
  const name = LIMITS[limit.family] ?? limit.family;
  return el("li", {},
    el("div.line", {}, el("span", {}, name), limit.is_enforced && !limit.remaining ? badge("bad", "cross", "used up") : el("span", {}, left)),
    el("progress", { max: limit.requests || 1, value: limit.remaining, "aria-label": `${name}: ${left}` }),
    limit.is_enforced ? el("span.hint", {}, `enforced: ${limit.requests.toLocaleString()} in ${limit.seconds} s, resets in ${seconds} s`) : null);
}

function drawGates(live, gates) {
  const closed = (gates ?? []).filter((gate) => gate.state !== "open");
  say(at("count-gate"), gates === null ? "–" : closed.length ? "closed" : "open");
  fill(at("gates"), [gates, closed.length ? Math.floor(live.now) : 0], () => {
    if (gates === null) return [el("li.empty", {}, "No stack is behind this stand-in.")];
    if (!closed.length) return [el("li", {}, el("div.line", {}, el("span", {}, "All of Braze's endpoints"), badge("good", "check", "open")))];
    return closed.map((gate) => gateLine(gate, live.now));
  });
}

function gateLine(gate, now) {
  const seconds = gate.until === null ? 0 : Math.max(Math.ceil(gate.until - now), 0);
  const why = [gate.reason ? String(gate.reason).replaceAll("_", " ") : null, gate.until === null ? "one request tries next" : `opens in ${seconds} s`].filter(Boolean).join(" · ");
  return el("li", {},
    el("div.line", {}, el("span", {}, GATES[gate.name] ?? gate.name), badge(gate.state === "closed" ? "bad" : "warn", gate.state === "closed" ? "cross" : "again", gate.state)),
    el("div.line", {}, el("span.hint", {}, why), el("button.small.quiet", { type: "button", "data-key": gate.name, onclick: openGate(gate.name), "aria-label": `Open ${GATES[gate.name] ?? gate.name} now` }, "Open now")));
}
