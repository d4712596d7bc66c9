// Every text on the page with its contrast to its background (WCAG 2.2, 1.4.3), and the edges of fields.
// Edges need 3 to 1, texts 4.5 to 1 (1.4.11). So an edge's contrast is multiplied by 1.5.

const channel = (value) => {
  const share = value / 255;
  return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
};
const luminance = ([red, green, blue]) =>
  0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue);
const parse = (text) => {
  const numbers = text.match(/[\d.]+/g).map(Number);
  return { colour: numbers.slice(0, 3), alpha: numbers[3] ?? 1 };
};
const ground = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const { colour, alpha } = parse(getComputedStyle(each).backgroundColor);
    if (alpha === 1) return colour;
  }
  return [255, 255, 255];
};
const ratio = (one, other) => {
  const [more, less] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (more + 0.05) / (less + 0.05);
};

const found = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const text = texts.currentNode.data.trim();
  const element = texts.currentNode.parentElement;
  const isSeen = element.checkVisibility() && !element.closest(".hidden, script, noscript");
  if (text && isSeen) {
    const { colour } = parse(getComputedStyle(element).color);
    found.push([text.slice(0, 40), ratio(colour, ground(element))]);
  }
}
const fields = "input:not([type=checkbox]), select, textarea, button.quiet";
for (const field of document.querySelectorAll(fields)) {
  if (field.checkVisibility()) {
    const { colour } = parse(getComputedStyle(field).borderTopColor);
    found.push([`edge of ${field.id}`, 1.5 * ratio(colour, ground(field.parentElement))]);
  }
}
return found;
