// Profiles: identifiers, values, the source of each value, and what was dropped.

import { call } from "./api.js";
import { at, el, fill, kindOf, say, time } from "./dom.js";

/** The profile that the user chose; until then the page shows the one that changed last. */
let chosen = null;
let before = { id: null, values: new Map() };

/** @param {{refresh: () => void}} page */
export function setUp(page) {
  at("search-form").addEventListener("submit", (event) => event.preventDefault());
  at("search").addEventListener("input", () => {
    chosen = null;
    page.refresh();
  });
}

export const searched = () => at("search").value.trim();

/** Shows one profile that has just changed, whatever was searched for. @param {string} id */
export function show(id) {
  at("search").value = "";
  chosen = id;
}

/** @param {any} live @param {{refresh: () => void}} page */
export function draw(live, page) {
  const selected = live.people.find((person) => person.braze_id === chosen) ?? live.people[0] ?? null;
  const many = live.found > live.people.length;
  say(at("found"), many ? `${live.found} profiles; the last ${live.people.length} to change:` : `${live.found} ${live.found === 1 ? "profile" : "profiles"}`);
  fill(at("people-list"), [live.people.map((person) => [person.braze_id, nameOf(person), subtitle(person)]), selected?.braze_id], () =>
    live.people.map((person) => el("li", {}, el("button", {
      type: "button",
      "data-key": person.braze_id,
      "aria-current": person === selected ? "true" : null,
      onclick: () => { chosen = person.braze_id; page.refresh(); },
    }, el("strong", {}, nameOf(person)), el("span", {}, subtitle(person))))));
  fill(at("person"), selected, () => (selected ? detail(selected) : [el("p.empty", {}, searched() ? "No profile matches." : "No profile yet.")]));
}

const aliasesOf = (person) => person.user_aliases ?? [];

function nameOf(person) {
  const alias = aliasesOf(person)[0];
  return person.email ?? person.external_id ?? person.phone ?? alias?.alias_name ?? person.braze_id;
}

function subtitle(person) {
  const count = Object.keys(person.custom_attributes ?? {}).length;
  return `${count} ${count === 1 ? "attribute" : "attributes"}, ${person.events_in_all} ${person.events_in_all === 1 ? "event" : "events"} · ${time(person.updated_at)}`;
}

function detail(person) {
  const values = { ...person.standard, ...person.custom_attributes };
  const isSame = before.id === person.braze_id;
  const news = new Set(Object.keys(values).filter((name) => isSame && before.values.get(name) !== person.origins[name]?.n));
  before = { id: person.braze_id, values: new Map(Object.keys(values).map((name) => [name, person.origins[name]?.n])) };
  return [
    el("h3", {}, nameOf(person)),
    el("dl.facts", {}, ...facts(person).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, el("code", {}, value))))),
    el("h4", {}, "Attributes"),
    Object.keys(values).length
      ? el("dl.values", {}, ...Object.entries(values).map(([name, value]) => attribute(name, value, person.origins[name], news.has(name))))
      : el("p.empty", {}, "None."),
    el("h4", {}, person.events_in_all > person.events.length ? `Events (the last ${person.events.length} of ${person.events_in_all})` : "Events"),
    person.events.length ? el("ol.plain.lines", {}, ...person.events.map(event)) : el("p.empty", {}, "None."),
    el("h4", {}, "Subscription groups"),
    person.subscription_groups.length ? el("ul.plain.lines", {}, ...person.subscription_groups.map((group) => subscription(person, group))) : el("p.empty", {}, "None."),
    el("h4", {}, "Dropped by Braze"),
    person.dropped.length ? el("ul.plain.lines", {}, ...person.dropped.map(drop)) : el("p.empty", {}, "Nothing."),
  ];
}

function facts(person) {
  return [
    ["External id", person.external_id],
    ["E-mail", person.email],
    ["Phone", person.phone],
    ...aliasesOf(person).map((alias) => [`Alias ${alias.alias_label}`, alias.alias_name]),
    ["Braze id", person.braze_id],
  ].filter(([, value]) => value !== undefined && value !== null);
}

function attribute(name, value, origin, isNew) {
  return el(`div${isNew ? ".is-new" : ""}`, {},
    el("dt", {}, name),
    el("dd", {}, el("span.value", {}, JSON.stringify(value)), el("span.badge.kind", {}, kindOf(value)), el("span.source", {}, source(origin))));
}

function source(origin) {
  if (!origin) return "from before this sandbox looked";
  const parts = [`request ${origin.n}`, time(origin.at)];
  if (origin.partner) parts.push(origin.partner[0].toUpperCase() + origin.partner.slice(1));
  if (origin.job_id) parts.push(`job ${origin.job_id}`);
  return `from ${parts.join(" · ")}`;
}

function event(each) {
  const properties = Object.entries(each.properties ?? {});
  return el("li", {},
    el("code", {}, each.name), ` at ${new Date(each.time).toLocaleString()}`,
    properties.length
      ? el("dl.properties", {}, ...properties.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, JSON.stringify(value)))))
      : null,
    el("span.source", {}, source(each.origin)));
}

function subscription(person, group) {
  return el("li", {},
    el("code", {}, group.id), ` · ${group.status}`, group.pending ? ", waits for the double opt-in " : "",
    group.pending ? el("button.small", { type: "button", "data-key": group.id, onclick: () => confirm(person, group) }, "Answer Y as this person") : null);
}

async function confirm(person, group) {
  try {
    await call("double_opt_in", { subscription_group_id: group.id, phone: person.phone });
  } catch {
    // It was answered meanwhile: the next poll shows it.
  }
}

function drop(each) {
  return el("li", {}, el("code", {}, each.field ?? "the whole object"), ` · ${each.reason}`, el("span.source", {}, `from request ${each.n} · ${each.input_array}[${each.index}]`));
}
