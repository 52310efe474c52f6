
// What the two elements show.

// Every connection of the subject, and one line for all.
class Panel {
  #panel = make("section", "panel");
  #summary = make("p", "summary");
  #list = make("ul", "rows");
  #rows;

  constructor(root, press) {
    this.#summary.setAttribute("role", "status");
    this.#summary.tabIndex = -1;
    // Safari takes the role from lists without marks.
    this.#list.setAttribute("role", "list");
    this.#panel.append(this.#summary, this.#list);
    this.#rows = new Rows(this.#list, "li", press);
    root.append(this.#panel);
  }

  show(health, lost, language, offersButton) {
    const items = health && health.items;
    const words = WORDS[language];
    this.#panel.lang = language;
    this.#panel.setAttribute("aria-label", words.title);
    this.#panel.setAttribute("aria-busy", String(items === null && !lost));
    this.#list.hidden = items === null || items.length === 0;
    this.#rows.show(items || [], language, health && health.language, offersButton);
    write(this.#summary, lost ? words.unknown : items === null ? words.loading : summaryOf(items, words));
  }

  // Whoever was on a button that has gone is not thrown back to the top of the page.
  focus() {
    this.#summary.focus();
  }
}

// Only what needs the person; nothing at all while nothing does.
class Notice {
  #banner = make("div", "banner");
  #rows;

  constructor(root, press) {
    this.#banner.setAttribute("role", "status");
    this.#rows = new Rows(this.#banner, "div", press);
    root.append(this.#banner);
  }

  // While nothing can be heard, what was heard last stays: it was true, and the button still leads somewhere.
  show(health, lost, language, offersButton) {
    const items = health === null ? [] : health.items.filter((item) => item.action === "reconnect");
    this.#banner.lang = language;
    this.#rows.show(items, language, health && health.language, offersButton);
  }

  focus() {}
}

const summaryOf = (items, words) => {
  const states = items.map(stateOf);
  const waiting = states.filter((state) => state === "reconnect_needed").length;
  if (waiting > 1) return words.need_you;
  if (waiting === 1) return words.needs_you;
  if (states.some((state) => state === "operator" || state === "waiting")) return words.not_all;
  return states.includes("connected") ? words.all_good : words.nothing;
};
