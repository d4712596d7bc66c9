// Reads the stand-in's state every half a second and draws what changed.

import { call } from "./api.js";
import { at, badge, complain, el, icon, say } from "./dom.js";
import * as faults from "./faults.js";
import * as people from "./people.js";
import * as requests from "./requests.js";
import * as tryIt from "./try_it.js";

const EVERY_MS = 500;
const GATE_EVERY_MS = 1500;

let gates = null;
let gatesAsked = 0;
let timer = 0;
let round = 0;

const page = {
  refresh() {
    gatesAsked = 0;
    poll();
  },
  show(id) {
    people.show(id);
    page.refresh();
    at("profiles").scrollIntoView({ block: "start" });
    at("person").focus({ preventScroll: true });
  },
};

async function poll() {
  clearTimeout(timer);
  const mine = ++round;
  try {
    const live = await call(`live?search=${encodeURIComponent(people.searched())}`);
    await askGates();
    if (mine !== round) return; // a newer request is on its way
    drawAll(live);
    connected(true);
  } catch {
    connected(false);
  }
  if (mine === round && !document.hidden) timer = setTimeout(poll, EVERY_MS);
}

async function askGates() {
  if (Date.now() - gatesAsked < GATE_EVERY_MS) return;
  gatesAsked = Date.now();
  try {
    gates = await call("gate");
  } catch {
    gates = null; // no stack, or its table does not answer now
  }
}

function drawAll(live) {
  for (const [name, count] of Object.entries(live.counts)) say(at(`count-${name}`), count.toLocaleString());
  tryIt.draw(live, page);
  people.draw(live, page);
  requests.draw(live);
  faults.draw(live, gates);
}

let wasConnected = null;

function connected(is) {
  if (wasConnected === is) return;
  wasConnected = is;
  const place = at("connection");
  place.className = `badge ${is ? "good" : "bad"}`;
  place.replaceChildren(...badge("", is ? "check" : "cross", is ? "Live" : "Stand-in not reached").childNodes);
}

function labelTheme() {
  const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  at("theme").replaceChildren(icon(other === "dark" ? "moon" : "sun"), el("span.hidden", {}, `Use ${other} colours`));
}

at("theme").addEventListener("click", () => {
  localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  dispatchEvent(new Event("storage")); // theme.js paints, as it does when another tab changes it
});
new MutationObserver(labelTheme).observe(document.documentElement, { attributeFilter: ["data-theme"] });
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});

labelTheme();
people.setUp(page);
faults.setUp(page);
tryIt.setUp(page).catch((error) => complain(at("try-error"), error.message));
poll();
