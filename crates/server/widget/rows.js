
// One row for a connection: a mark, the sentence, and a button where the person can do something. Rows are changed in
// place, so that whoever is on a button stays there. Everything from outside goes into the page as text.

const make = (name, part) => {
  const node = document.createElement(name);
  node.className = part;
  node.setAttribute("part", part);
  return node;
};

// Nothing is said again that reads the same.
const write = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

class Row {
  node;
  #mark = make("span", "mark");
  #sentence = make("p", "sentence");
  #button = make("button", "button");
  #item = null;

  constructor(name, press) {
    this.node = make(name, "row");
    this.#mark.setAttribute("aria-hidden", "true");
    this.#button.type = "button";
    this.#button.addEventListener("click", () => press(this.#item));
    this.node.append(this.#mark, this.#sentence);
  }

  show(item, language, said, offersButton) {
    this.#item = item;
    const state = stateOf(item);
    this.node.setAttribute("part", `row ${state}`);
    this.#mark.className = `mark ${state}`;
    write(this.#sentence, sentenceOf(item, language, said));
    const label = WORDS[language].reconnect;
    write(this.#button, label);
    // Several buttons on a page do not all sound the same; what is seen comes first, for those who speak it.
    this.#button.setAttribute("aria-label", `${label}: ${item.provider}`);
    if (!offersButton) this.#button.remove();
    else if (!this.#button.isConnected) this.node.append(this.#button);
  }
}

// The rows of an element, by connection, in the order of the service.
class Rows {
  #list;
  #name;
  #press;
  #rows = new Map();

  constructor(list, name, press) {
    this.#list = list;
    this.#name = name;
    this.#press = press;
  }

  show(items, language, said, offersButton) {
    const before = this.#rows;
    this.#rows = new Map();
    for (const item of items) {
      const key = item.connection_id || item.integration;
      const row = before.get(key) || new Row(this.#name, this.#press);
      before.delete(key);
      row.show(item, language, said, offersButton(item));
      this.#rows.set(key, row);
    }
    for (const row of before.values()) row.node.remove();
    [...this.#rows.values()].forEach((row, at) => {
      // A node that is put where it is already would lose the focus.
      if (this.#list.children[at] !== row.node) this.#list.insertBefore(row.node, this.#list.children[at] || null);
    });
  }
}
