// The request log, newest first, and what Braze dropped without a word.

import { at, badge, el, fill, say, time } from "./dom.js";

let newest = null;

/** @param {any} live */
export function draw(live) {
  const known = newest;
  newest = live.counts.requests;
  at("requests-empty").hidden = live.requests.length > 0;
  fill(at("requests-rows"), live.requests, () => live.requests.map((row) => line(row, known !== null && row.n > known)));
  fill(at("messages-list"), live.messages, () =>
    live.messages.length
      ? live.messages.map((each) => el("li", {}, el("code", {}, each.what), ` · to ${each.recipients.join(", ") || "an audience"}`,
        el("span.hint", {}, ` (request ${each.n}, ${each.path}${each.unknown ? `, ${each.unknown} without a profile` : ""})`)))
      : [el("li.empty", {}, "No message was asked for.")]);
  say(at("dropped-count"), String(live.counts.dropped));
  fill(at("dropped-list"), live.dropped, () =>
    live.dropped.length
      ? live.dropped.map((each) => el("li", {}, el("code", {}, each.field ?? "a whole object"), ` · ${each.reason}`, el("span.hint", {}, ` (request ${each.n}, ${each.place})`)))
      : [el("li.empty", {}, "Nothing was dropped.")]);
}

function line(row, isNew) {
  const details = [
    row.objects ? `${row.objects} ${row.objects === 1 ? "object" : "objects"}` : null,
    row.refused ? `${row.refused} refused` : null,
    row.met_fault ? "a fault" : null,
  ].filter(Boolean).join(" · ");
  const took = row.ms === null ? "–" : `${row.ms < 10 ? row.ms : Math.round(row.ms)} ms`;
  return el(`tr${isNew ? ".is-new" : ""}`, {},
    el("td", {}, row.n),
    el("td", {}, time(row.at)),
    el("td", {}, el("code", {}, `${row.method} ${row.path}`), el("span.hint", {}, details, el("span.narrow", {}, details ? ` · ${took}` : took))),
    el("td", {}, answer(row)),
    el("td.number.wide", {}, took));
}

function answer(row) {
  if (row.status === 0) return row.ms === null ? badge("warn", "wait", "none yet") : badge("bad", "cross", "reset");
  if (row.status === 429) return badge("warn", "wait", "429 too many");
  if (row.status >= 300) return badge("bad", "cross", String(row.status));
  return row.refused ? badge("warn", "minus", `${row.status} in part`) : badge("good", "check", String(row.status));
}
