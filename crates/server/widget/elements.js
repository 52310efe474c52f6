
// The two elements. They differ in what they show; what they have in common is whose connections they show, in which words,
// and what a button does.

const SHEET = new CSSStyleSheet();
SHEET.replaceSync(STYLE);

// Where this script came from: a module has no `currentScript`.
const OWN_SCRIPT =
  document.currentScript || [...document.scripts].find((script) => /\/widget\.js$/.test(script.src.split(/[?#]/)[0]));
const OWN_ORIGIN = OWN_SCRIPT && OWN_SCRIPT.src ? new URL(OWN_SCRIPT.src).origin : location.origin;

class EvergrantElement extends HTMLElement {
  static observedAttributes = ["base", "subject", "session", "lang", "hidden", "own-reconnect"];

  #feed = null;
  #token = null;
  #root;
  #view;

  constructor(View) {
    super();
    this.#root = this.attachShadow({ mode: "open" });
    this.#root.adoptedStyleSheets = [SHEET];
    this.#view = new View(this.#root, (item) => this.#press(item));
  }

  connectedCallback() {
    this.#join();
  }

  disconnectedCallback() {
    this.#leave();
  }

  attributeChangedCallback(name, before, now) {
    if (name === "session") {
      if (now === null) return;
      // Taken, and not left where the page's tools and extensions would read it.
      this.removeAttribute("session");
      this.session = now;
      return;
    }
    if (before === now) return;
    if (name !== "own-reconnect" && this.isConnected) this.#join();
    this.#show();
  }

  // The session's token. It can be given at any time and never be read.
  set session(token) {
    this.#token = token ? String(token) : null;
    if (this.#feed !== null && this.#token !== null) this.#feed.session = this.#token;
  }

  get subject() {
    return this.getAttribute("subject");
  }

  set subject(subject) {
    if (subject === null || subject === undefined) this.removeAttribute("subject");
    else this.setAttribute("subject", subject);
  }

  get base() {
    return this.getAttribute("base") || OWN_ORIGIN;
  }

  set base(base) {
    this.setAttribute("base", base);
  }

  #join() {
    this.#leave();
    if (!this.subject || this.hidden) return this.#show();
    this.#feed = Feed.of(new URL(this.base, document.baseURI).origin, this.subject, this.#language());
    if (this.#token !== null) this.#feed.session = this.#token;
    this.#feed.add(this, () => this.#heard());
    this.#show();
  }

  #leave() {
    if (this.#feed !== null) this.#feed.remove(this);
    this.#feed = null;
  }

  #heard() {
    this.#show();
    const health = this.#feed.health;
    if (health === null || this.#feed.lost) return;
    const items = health.items.map(({ reconnect_url, ...item }) => item);
    announce(this, "evergrant-change", { healthy: health.healthy, items });
  }

  #show() {
    const language = this.#language();
    const { health, lost } = this.#feed || { health: null, lost: false };
    const on = this.#root.activeElement;
    this.#view.show(health, lost, language, (item) => this.#offersButton(item));
    if (on !== null && !on.isConnected) this.#view.focus();
  }

  #language() {
    const around = this.closest("[lang]") || document.documentElement;
    return languageOf([this.lang, around.lang, ...navigator.languages]);
  }

  // A page that makes its own connect sessions gets the button wherever a person must act.
  #offersButton(item) {
    return item.action === "reconnect" && (Boolean(item.reconnect_url) || this.hasAttribute("own-reconnect"));
  }

  #press(item) {
    const { connection_id, integration, provider, reconnect_url = null } = item;
    const goes = announce(this, "evergrant-reconnect", { connection_id, integration, provider, reconnect_url }, true);
    if (!goes || reconnect_url === null || this.hasAttribute("own-reconnect")) return;
    const link = new URL(reconnect_url);
    if (link.protocol !== "https:" && link.protocol !== "http:") return;
    if (this.hasAttribute("new-tab")) {
      window.open(link, "_blank", "noopener");
      return;
    }
    const back = new URL(this.getAttribute("return-url") || location.href, document.baseURI);
    back.hash = "";
    link.searchParams.set("return_url", back);
    location.assign(link);
  }
}

// The script may be loaded twice.
if (!customElements.get("evergrant-connections")) {
  customElements.define("evergrant-connections", class extends EvergrantElement {
    constructor() {
      super(Panel);
    }
  });
}
if (!customElements.get("evergrant-banner")) {
  customElements.define("evergrant-banner", class extends EvergrantElement {
    constructor() {
      super(Notice);
    }
  });
}
