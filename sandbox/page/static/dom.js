// Makes elements from data. Text always goes in as text: what was sent to Braze may look like markup.

/**
 * Makes an element.
 * @param {string} tag its name, with classes after dots: "span.badge.good"
 * @param {Record<string, unknown>} attributes "onclick" and the like are listeners; null leaves out
 * @param {...(Node|string|number|null|undefined)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined).map(asNode));
  return element;
}

/** @param {string} name of a symbol in the page, without "i-" */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A word with a sign and a colour; the word is enough to understand it. */
export function badge(kind, sign, text) {
  return el(`span.badge${kind ? `.${kind}` : ""}`, {}, sign ? icon(sign) : null, text);
}

const shown = new WeakMap();

/**
 * Fills an element, unless it shows the same data already. The focus stays on the element with the
 * same data-key.
 * @param {HTMLElement} place
 * @param {unknown} data
 * @param {() => Node[]} draw
 */
export function fill(place, data, draw) {
  const print = JSON.stringify(data);
  if (shown.get(place) === print) return;
  shown.set(place, print);
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.getAttribute("data-key");
  place.replaceChildren(...draw());
  if (key) {
    const again = [...place.querySelectorAll("[data-key]")];
    again.find((element) => element.getAttribute("data-key") === key)?.focus();
  }
}

/** @param {string} id */
export const at = (id) => document.getElementById(id);

/** Sets a text only if it changes, so that nothing is read out twice. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows an error, or takes it away. */
export function complain(element, text) {
  say(element, text ?? "");
  element.hidden = !text;
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

/** @param {number} seconds since the epoch */
export const time = (seconds) => clock.format(new Date(seconds * 1000));

/** @param {unknown} value */
export function kindOf(value) {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

const asNode = (child) => (child instanceof Node ? child : document.createTextNode(String(child)));
